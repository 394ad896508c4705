# Finds LibTorch without the TorchConfig.cmake of the PyPI wheel, which needs a CUDA toolkit even for a CPU build and
# fails with CMake 3.25 and nvcc 13.
#
# Order: FLOWDARTS_LIBTORCH, the project's virtual environment build/venv, the torch of python3.
# Targets: LibTorch::cpu (torch_cpu, c10); LibTorch::cuda (torch_cuda, c10_cuda, with FLOWDARTS_CUDA);
#          LibTorch::LibTorch, the one of the two this build uses.
# Variables: LibTorch_FOUND, LibTorch_VERSION, LibTorch_ROOT_DIR, LibTorch_RUNTIME_DIRS.

set(_torch_roots "")
if(FLOWDARTS_LIBTORCH)
  list(APPEND _torch_roots "${FLOWDARTS_LIBTORCH}")
else()
  file(GLOB _torch_venv "${PROJECT_SOURCE_DIR}/build/venv/lib/python3*/site-packages/torch")
  list(APPEND _torch_roots ${_torch_venv})
  find_program(FLOWDARTS_PYTHON3 python3)
  mark_as_advanced(FLOWDARTS_PYTHON3)
  if(NOT _torch_venv AND FLOWDARTS_PYTHON3)
    execute_process(
      COMMAND "${FLOWDARTS_PYTHON3}" -c
              "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '', end='')"
      OUTPUT_VARIABLE _torch_python ERROR_QUIET)
    if(_torch_python)
      list(APPEND _torch_roots "${_torch_python}")
    endif()
  endif()
endif()

find_path(LibTorch_ROOT_DIR include/torch/csrc/api/include/torch/torch.h PATHS ${_torch_roots} NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY torch_cpu PATHS "${LibTorch_ROOT_DIR}/lib" NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 PATHS "${LibTorch_ROOT_DIR}/lib" NO_DEFAULT_PATH)
find_library(LibTorch_CUDA_LIBRARY torch_cuda PATHS "${LibTorch_ROOT_DIR}/lib" NO_DEFAULT_PATH)
find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda PATHS "${LibTorch_ROOT_DIR}/lib" NO_DEFAULT_PATH)
mark_as_advanced(LibTorch_ROOT_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_CUDA_LIBRARY LibTorch_C10_CUDA_LIBRARY)

if(LibTorch_ROOT_DIR AND EXISTS "${LibTorch_ROOT_DIR}/include/torch/headeronly/version.h")
  set(_torch_version_file "${LibTorch_ROOT_DIR}/include/torch/headeronly/version.h")
elseif(LibTorch_ROOT_DIR)
  set(_torch_version_file "${LibTorch_ROOT_DIR}/include/torch/csrc/api/include/torch/version.h")
endif()
if(_torch_version_file AND EXISTS "${_torch_version_file}")
  file(STRINGS "${_torch_version_file}" _torch_version REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3" LibTorch_VERSION "${_torch_version}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS LibTorch_ROOT_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "install it with 'pip install torch==2.11.0' into build/venv (scripts/test does) or give -DFLOWDARTS_LIBTORCH=DIR")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  # The wheel's include folder also holds fmt, protobuf and oneDNN under their own names; only LibTorch's four folders are shown.
  set(_torch_links "${CMAKE_BINARY_DIR}/libtorch-include")
  file(MAKE_DIRECTORY "${_torch_links}")
  foreach(folder ATen c10 caffe2 torch)
    file(CREATE_LINK "${LibTorch_ROOT_DIR}/include/${folder}" "${_torch_links}/${folder}" SYMBOLIC)
  endforeach()
  # The API folder is entered through a link of its own: inside it, `torch/` is another folder than the one above.
  file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/libtorch-api")
  file(CREATE_LINK "${LibTorch_ROOT_DIR}/include/torch/csrc/api/include/torch" "${CMAKE_BINARY_DIR}/libtorch-api/torch" SYMBOLIC)

  file(GLOB LibTorch_RUNTIME_DIRS "${LibTorch_ROOT_DIR}/lib" "${LibTorch_ROOT_DIR}/../nvidia/*/lib")
  add_library(LibTorch::cpu INTERFACE IMPORTED)
  target_include_directories(LibTorch::cpu SYSTEM INTERFACE "${_torch_links}" "${CMAKE_BINARY_DIR}/libtorch-api")
  target_link_libraries(LibTorch::cpu INTERFACE "${LibTorch_CPU_LIBRARY}" "${LibTorch_C10_LIBRARY}")
  foreach(dir IN LISTS LibTorch_RUNTIME_DIRS)
    target_link_options(LibTorch::cpu INTERFACE "LINKER:-rpath,${dir}" "LINKER:-rpath-link,${dir}")
  endforeach()
  if(LibTorch_CUDA_LIBRARY)
    add_library(LibTorch::cuda INTERFACE IMPORTED)
    # Nothing in a CPU-only translation unit refers to torch_cuda, which registers itself when loaded: keep it.
    target_link_libraries(LibTorch::cuda INTERFACE LibTorch::cpu
      "-Wl,--push-state,--no-as-needed" "${LibTorch_CUDA_LIBRARY}" "${LibTorch_C10_CUDA_LIBRARY}" "-Wl,--pop-state")
  endif()
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  if(FLOWDARTS_CUDA)
    if(NOT TARGET LibTorch::cuda)
      message(FATAL_ERROR "FLOWDARTS_CUDA needs a LibTorch with CUDA, but ${LibTorch_ROOT_DIR}/lib has no libtorch_cuda.so")
    endif()
    target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::cuda)
  else()
    target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::cpu)
  endif()
endif()
