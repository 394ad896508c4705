# Every package that flowdarts' libraries and programs are built from. Read by flowdarts' own build and, installed, by its
# package config. Both then call flowdarts_gather_missing().

set(_flowdarts_missing_debian "")
set(_flowdarts_missing_other "")

# flowdarts_require(PACKAGE DEBIAN_PACKAGE [find_package arguments]); a PACKAGE without a Debian package says itself, in
# PACKAGE_NOT_FOUND_MESSAGE, what to do.
macro(flowdarts_require package debian)
  find_package(${package} ${ARGN} QUIET)
  if(NOT ${package}_FOUND)
    if("${debian}" STREQUAL "")
      list(APPEND _flowdarts_missing_other "${${package}_NOT_FOUND_MESSAGE}")
    else()
      list(APPEND _flowdarts_missing_debian "${debian}")
    endif()
  endif()
endmacro()

# Sets FLOWDARTS_MISSING to one sentence about everything that was not found, empty when nothing is missing.
macro(flowdarts_gather_missing)
  list(JOIN _flowdarts_missing_debian " " FLOWDARTS_MISSING)
  if(FLOWDARTS_MISSING)
    set(FLOWDARTS_MISSING "packages are missing: install them with 'apt-get install ${FLOWDARTS_MISSING}'")
    list(PREPEND _flowdarts_missing_other "${FLOWDARTS_MISSING}")
  endif()
  list(JOIN _flowdarts_missing_other "; " FLOWDARTS_MISSING)
endmacro()

flowdarts_require(LibTorch "" 2.6)
flowdarts_require(Threads libc6-dev)
flowdarts_require(TBB libtbb-dev CONFIG)
flowdarts_require(Boost libboost-dev 1.74)
flowdarts_require(spdlog libspdlog-dev)
flowdarts_require(CLI11 libcli11-dev CONFIG)
flowdarts_require(tomlplusplus libtomlplusplus-dev CONFIG)
flowdarts_require(nlohmann_json nlohmann-json3-dev CONFIG)
flowdarts_require(hwy libhwy-dev CONFIG)
flowdarts_require(JPEG libjpeg62-turbo-dev)
flowdarts_require(PNG libpng-dev)
flowdarts_require(ZLIB zlib1g-dev)
flowdarts_require(LibArchive libarchive-dev)
flowdarts_require(Protozero libprotozero-dev)
flowdarts_require(Thrust "")
if(FLOWDARTS_CUDA)
  set(CUDAToolkit_NOT_FOUND_MESSAGE "FLOWDARTS_CUDA needs the CUDA toolkit 13, with nvcc on the PATH or named with -DCMAKE_CUDA_COMPILER=FILE")
  flowdarts_require(CUDAToolkit "")
endif()
