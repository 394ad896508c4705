# Finds NCCL, which sums tensors between GPUs: beside LibTorch, whose CUDA wheel brings it along, or where the system has it.
#
# Target: NCCL::NCCL. Variables: NCCL_FOUND, NCCL_INCLUDE_DIR, NCCL_LIBRARY.

find_path(NCCL_INCLUDE_DIR nccl.h PATHS "${LibTorch_ROOT_DIR}/../nvidia/nccl/include" NO_DEFAULT_PATH)
find_library(NCCL_LIBRARY NAMES libnccl.so.2 nccl PATHS "${LibTorch_ROOT_DIR}/../nvidia/nccl/lib" NO_DEFAULT_PATH)
find_path(NCCL_INCLUDE_DIR nccl.h)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2)
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)

include(FindPackageHandleStandardArgs)
set(NCCL_NOT_FOUND_MESSAGE "FLOWDARTS_MPI with FLOWDARTS_CUDA needs NCCL, of LibTorch's wheel (requirements-cuda.txt) or libnccl-dev")
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR
                                  REASON_FAILURE_MESSAGE "${NCCL_NOT_FOUND_MESSAGE}")
if(NCCL_FOUND AND NOT TARGET NCCL::NCCL)
  add_library(NCCL::NCCL UNKNOWN IMPORTED)
  set_target_properties(NCCL::NCCL PROPERTIES IMPORTED_LOCATION "${NCCL_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${NCCL_INCLUDE_DIR}")
endif()
