# Finds Thrust's headers: the CUDA toolkit's CCCL, else the header-only wheel nvidia-cuda-cccl in the virtual environment.
# Target: Thrust::TBB, for g++ translation units (host and device system are oneTBB).

file(GLOB _cccl_venv "${PROJECT_SOURCE_DIR}/build/venv/lib/python3*/site-packages/nvidia/*/include/cccl"
     "${PROJECT_SOURCE_DIR}/build/venv/lib/python3*/site-packages/nvidia/*/include")
find_path(Thrust_INCLUDE_DIR thrust/version.h
          HINTS "$ENV{CUDA_HOME}/include/cccl" "$ENV{CUDA_PATH}/include/cccl"
          PATHS /usr/local/cuda/include/cccl /usr/local/cuda/include /opt/cuda/include/cccl ${_cccl_venv} NO_DEFAULT_PATH)
mark_as_advanced(Thrust_INCLUDE_DIR)
if(Thrust_INCLUDE_DIR)
  file(STRINGS "${Thrust_INCLUDE_DIR}/thrust/version.h" _thrust_version REGEX "define THRUST_VERSION [0-9]+")
  string(REGEX REPLACE ".* ([0-9]+).*" "\\1" _thrust_number "${_thrust_version}")
  math(EXPR _thrust_major "${_thrust_number} / 100000")
  math(EXPR _thrust_minor "(${_thrust_number} / 100) % 1000")
  math(EXPR _thrust_patch "${_thrust_number} % 100")
  set(Thrust_VERSION "${_thrust_major}.${_thrust_minor}.${_thrust_patch}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Thrust REQUIRED_VARS Thrust_INCLUDE_DIR VERSION_VAR Thrust_VERSION
  REASON_FAILURE_MESSAGE "install the CUDA toolkit, or 'pip install nvidia-cuda-cccl==13.0.*' into build/venv (scripts/test does)")

if(Thrust_FOUND AND NOT TARGET Thrust::TBB)
  add_library(Thrust::TBB INTERFACE IMPORTED)
  target_include_directories(Thrust::TBB SYSTEM INTERFACE "${Thrust_INCLUDE_DIR}")
  target_compile_definitions(Thrust::TBB INTERFACE THRUST_HOST_SYSTEM=THRUST_HOST_SYSTEM_CPP
                             THRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_TBB)
  target_link_libraries(Thrust::TBB INTERFACE TBB::tbb)
endif()
