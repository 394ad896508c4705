# Finds protozero, header-only and without a CMake package in Debian. Target: protozero::protozero.

find_path(Protozero_INCLUDE_DIR protozero/pbf_writer.hpp)
mark_as_advanced(Protozero_INCLUDE_DIR)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Protozero REQUIRED_VARS Protozero_INCLUDE_DIR)
if(Protozero_FOUND AND NOT TARGET protozero::protozero)
  set(_protozero_global "")
  if(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL)
    set(_protozero_global GLOBAL)
  endif()
  add_library(protozero::protozero INTERFACE IMPORTED ${_protozero_global})
  target_include_directories(protozero::protozero SYSTEM INTERFACE "${Protozero_INCLUDE_DIR}")
endif()
