# Finds LibTorch without the TorchConfig.cmake of the PyPI wheel, which needs a CUDA toolkit even for a CPU build and
# fails with CMake 3.25 and nvcc 13.
#
# Order: FLOWDARTS_LIBTORCH; the torch of the virtual environment FLOWDARTS_VENV; the torch of python3.
# Targets: LibTorch::cpu (torch_cpu, c10); LibTorch::cuda (torch_cuda, c10_cuda as well), where LibTorch has them;
#          LibTorch::LibTorch, the one of the two this build uses (cuda with FLOWDARTS_CUDA).
# Variables: LibTorch_FOUND, LibTorch_VERSION, LibTorch_ROOT_DIR, LibTorch_HAS_CUDA.

# Nothing is cached, so that another FLOWDARTS_LIBTORCH takes effect in an old build tree.
unset(LibTorch_ROOT_DIR)
unset(LibTorch_VERSION)
set(_torch_reason "no LibTorch found: install it with 'pip install torch==2.11.0' into build/venv (scripts/setup does), or name one with -DFLOWDARTS_LIBTORCH=DIR")
if(FLOWDARTS_LIBTORCH)
  set(_torch_roots "${FLOWDARTS_LIBTORCH}")
  set(_torch_reason "FLOWDARTS_LIBTORCH=${FLOWDARTS_LIBTORCH} holds no LibTorch: expected include/torch/csrc/api/include/torch/torch.h and lib/libtorch_cpu.so in it")
else()
  set(_torch_roots "")
  if(FLOWDARTS_VENV)
    file(GLOB _torch_roots "${FLOWDARTS_VENV}/lib/python3*/site-packages/torch")
  endif()
  unset(_torch_python3)
  find_program(_torch_python3 python3 NO_CACHE)
  if(NOT _torch_roots AND _torch_python3)
    execute_process(
      COMMAND "${_torch_python3}" -c "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '', end='')"
      OUTPUT_VARIABLE _torch_roots ERROR_QUIET)
  endif()
endif()
foreach(_torch_root IN LISTS _torch_roots)
  if(EXISTS "${_torch_root}/include/torch/csrc/api/include/torch/torch.h" AND EXISTS "${_torch_root}/lib/libtorch_cpu.so")
    get_filename_component(LibTorch_ROOT_DIR "${_torch_root}" ABSOLUTE)
    break()
  endif()
endforeach()

if(LibTorch_ROOT_DIR)
  # Releases since 2.9 keep the numbers in headeronly/version.h.
  set(_torch_version "")
  foreach(_torch_header headeronly/version.h csrc/api/include/torch/version.h)
    if(NOT _torch_version AND EXISTS "${LibTorch_ROOT_DIR}/include/torch/${_torch_header}")
      file(STRINGS "${LibTorch_ROOT_DIR}/include/torch/${_torch_header}" _torch_version REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
    endif()
  endforeach()
  string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3" LibTorch_VERSION "${_torch_version}")
  set(_torch_reason "LibTorch ${LibTorch_VERSION} in ${LibTorch_ROOT_DIR} is too old: ${LibTorch_FIND_VERSION} or newer is needed, named with -DFLOWDARTS_LIBTORCH=DIR")

  file(STRINGS "${LibTorch_ROOT_DIR}/lib/libc10.so" _torch_new_abi REGEX "__cxx11" LIMIT_COUNT 1)
  if(NOT _torch_new_abi)
    set(_torch_reason "${LibTorch_ROOT_DIR} was built with the old C++ ABI of libstdc++: take a build with the C++11 ABI (every PyPI wheel since 2.7 is one)")
    unset(LibTorch_ROOT_DIR)
  endif()
endif()
if(LibTorch_ROOT_DIR AND EXISTS "${LibTorch_ROOT_DIR}/lib/libtorch_cuda.so")
  set(LibTorch_HAS_CUDA TRUE)
else()
  set(LibTorch_HAS_CUDA FALSE)
  if(LibTorch_ROOT_DIR AND FLOWDARTS_CUDA)
    set(_torch_reason "FLOWDARTS_CUDA needs a LibTorch with CUDA, but ${LibTorch_ROOT_DIR}/lib has no libtorch_cuda.so")
    unset(LibTorch_ROOT_DIR)
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS LibTorch_ROOT_DIR VERSION_VAR LibTorch_VERSION
                                  REASON_FAILURE_MESSAGE "${_torch_reason}")
set(LibTorch_NOT_FOUND_MESSAGE "${_torch_reason}")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  # The wheel's include folder also holds fmt, protobuf and oneDNN under their own names, which would hide the system's:
  # only LibTorch's four folders are shown. Its API folder is entered through a link of its own, because `torch/` inside
  # it is another folder than the one above.
  set(_torch_links "${CMAKE_CURRENT_BINARY_DIR}/libtorch")
  file(MAKE_DIRECTORY "${_torch_links}/include" "${_torch_links}/api")
  foreach(_torch_folder ATen c10 caffe2 torch)
    file(CREATE_LINK "${LibTorch_ROOT_DIR}/include/${_torch_folder}" "${_torch_links}/include/${_torch_folder}" SYMBOLIC)
  endforeach()
  file(CREATE_LINK "${LibTorch_ROOT_DIR}/include/torch/csrc/api/include/torch" "${_torch_links}/api/torch" SYMBOLIC)

  set(_torch_global "")
  if(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL)
    set(_torch_global GLOBAL)
  endif()
  add_library(LibTorch::cpu INTERFACE IMPORTED ${_torch_global})
  target_include_directories(LibTorch::cpu SYSTEM INTERFACE "${_torch_links}/include" "${_torch_links}/api")
  target_link_libraries(LibTorch::cpu INTERFACE "${LibTorch_ROOT_DIR}/lib/libtorch_cpu.so" "${LibTorch_ROOT_DIR}/lib/libc10.so")
  # at::parallel_for is a template: without OpenMP it compiles to a plain loop. Clang would bring a second OpenMP runtime
  # beside LibTorch's libgomp, so there it stays one.
  target_compile_options(LibTorch::cpu INTERFACE "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fopenmp>")
  target_link_libraries(LibTorch::cpu INTERFACE "$<$<LINK_LANG_AND_ID:CXX,GNU>:gomp>")
  # As link options, so that installed programs keep them: they start without LD_LIBRARY_PATH.
  file(GLOB _torch_runtime_dirs "${LibTorch_ROOT_DIR}/../nvidia/*/lib")
  foreach(_torch_dir IN ITEMS "${LibTorch_ROOT_DIR}/lib" LISTS _torch_runtime_dirs)
    file(REAL_PATH "${_torch_dir}" _torch_dir)
    target_link_options(LibTorch::cpu INTERFACE "LINKER:-rpath,${_torch_dir}" "LINKER:-rpath-link,${_torch_dir}")
  endforeach()
  if(LibTorch_HAS_CUDA)
    add_library(LibTorch::cuda INTERFACE IMPORTED ${_torch_global})
    target_link_libraries(LibTorch::cuda INTERFACE LibTorch::cpu)
    # No translation unit refers to torch_cuda, which registers itself when it is loaded: the linker must keep it.
    target_link_options(LibTorch::cuda INTERFACE
      "LINKER:--push-state,--no-as-needed,${LibTorch_ROOT_DIR}/lib/libtorch_cuda.so,${LibTorch_ROOT_DIR}/lib/libc10_cuda.so,--pop-state")
  endif()
  add_library(LibTorch::LibTorch INTERFACE IMPORTED ${_torch_global})
  if(FLOWDARTS_CUDA)
    target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::cuda)
  else()
    target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::cpu)
  endif()
endif()
