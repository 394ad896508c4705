# Finds Thrust's headers: the CUDA toolkit's CCCL, else the header-only wheel nvidia-cuda-cccl in the virtual environment
# FLOWDARTS_VENV or beside the LibTorch that was found.
#
# Target: Thrust::TBB, for g++ translation units (host system: plain C++, device system: oneTBB). nvcc brings the same
# headers with it and takes Thrust's CUDA backend, so .cu files get nothing from this target.
# Variables: Thrust_FOUND, Thrust_VERSION, Thrust_INCLUDE_DIR.

unset(Thrust_INCLUDE_DIR)
unset(Thrust_VERSION)
set(_thrust_dirs "")
if(FLOWDARTS_CUDA)
  list(APPEND _thrust_dirs ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
endif()
list(APPEND _thrust_dirs "$ENV{CUDA_HOME}/include" "$ENV{CUDA_PATH}/include" /usr/local/cuda/include /opt/cuda/include)
file(GLOB _thrust_wheels "${FLOWDARTS_VENV}/lib/python3*/site-packages/nvidia/*/include"
     "${LibTorch_ROOT_DIR}/../nvidia/*/include")
list(APPEND _thrust_dirs ${_thrust_wheels})
# CCCL 3 lives in a folder of its own inside include/, before that it was include/ itself.
find_path(Thrust_INCLUDE_DIR thrust/version.h PATHS ${_thrust_dirs} PATH_SUFFIXES cccl NO_DEFAULT_PATH NO_CACHE)
if(Thrust_INCLUDE_DIR)
  file(STRINGS "${Thrust_INCLUDE_DIR}/thrust/version.h" _thrust_version REGEX "define THRUST_VERSION [0-9]+")
  string(REGEX REPLACE ".* ([0-9]+).*" "\\1" _thrust_number "${_thrust_version}")
  math(EXPR _thrust_major "${_thrust_number} / 100000")
  math(EXPR _thrust_minor "(${_thrust_number} / 100) % 1000")
  math(EXPR _thrust_patch "${_thrust_number} % 100")
  set(Thrust_VERSION "${_thrust_major}.${_thrust_minor}.${_thrust_patch}")
endif()

set(Thrust_NOT_FOUND_MESSAGE "no Thrust found: install a CUDA toolkit, or 'pip install nvidia-cuda-cccl==13.0.*' into build/venv (scripts/setup does)")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Thrust REQUIRED_VARS Thrust_INCLUDE_DIR VERSION_VAR Thrust_VERSION
                                  REASON_FAILURE_MESSAGE "${Thrust_NOT_FOUND_MESSAGE}")

if(Thrust_FOUND AND NOT TARGET Thrust::TBB)
  set(_thrust_global "")
  if(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL)
    set(_thrust_global GLOBAL)
  endif()
  add_library(Thrust::TBB INTERFACE IMPORTED ${_thrust_global})
  target_include_directories(Thrust::TBB SYSTEM INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${Thrust_INCLUDE_DIR}>")
  target_compile_definitions(Thrust::TBB INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:THRUST_HOST_SYSTEM=THRUST_HOST_SYSTEM_CPP;THRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_TBB>")
  target_link_libraries(Thrust::TBB INTERFACE TBB::tbb)
endif()
