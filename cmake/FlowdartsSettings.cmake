# Settings every target shares, and the two helpers that make a library and a test.

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
if(NOT PROJECT_IS_TOP_LEVEL)
  # The project that added this one links its targets, and with them the packages found here.
  set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# A precompiled header made with -fPIC is refused by GCC in a unit compiled with -fPIE: one kind of code for all targets.
set(CMAKE_CXX_COMPILE_OPTIONS_PIE -fPIC)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
set(FLOWDARTS_VENV "${PROJECT_SOURCE_DIR}/build/venv")

if(FLOWDARTS_CUDA)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  endif()
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    message(FATAL_ERROR "FLOWDARTS_CUDA needs nvcc of the CUDA toolkit 13: install it, or name it with -DCMAKE_CUDA_COMPILER=FILE.")
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90)
  endif()
  enable_language(CUDA)
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc takes it.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  # LibTorch loads the shared runtime; a second, static one would know nothing of its streams.
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
endif()

find_program(CCACHE_PROGRAM ccache)
mark_as_advanced(CCACHE_PROGRAM)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers are cached only when ccache need not see the time stamps inside them.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      "${CCACHE_PROGRAM}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

# Sources live in spaces/, policies/, stages/, pipeline/ and are included as <flowdarts/spaces/...>: the build tree holds
# a folder of links, the install tree the same layout as real files.
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/include/flowdarts")
foreach(folder spaces policies stages pipeline)
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/${folder}" "${PROJECT_BINARY_DIR}/include/flowdarts/${folder}" SYMBOLIC)
endforeach()

add_library(flowdarts_settings INTERFACE)
add_library(flowdarts::settings ALIAS flowdarts_settings)
set_target_properties(flowdarts_settings PROPERTIES EXPORT_NAME settings)
target_compile_features(flowdarts_settings INTERFACE cxx_std_20)
target_include_directories(flowdarts_settings INTERFACE "$<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>"
                                                        "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")

# Flags for flowdarts' own sources; consumers do not inherit them.
add_library(flowdarts_own_flags INTERFACE)
target_compile_options(flowdarts_own_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wnon-virtual-dtor;-Wno-missing-field-initializers>
  # GCC 12 sees overlaps and overflows in concatenations of strings (its bugs 105651, 105329).
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fpch-preprocess;-Wno-restrict;-Wno-stringop-overflow>
  # libstdc++ 12 calls in stable_sort what it has deprecated itself.
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:Clang>>:-Wno-deprecated-declarations>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${FLOWDARTS_WERROR}>>:-Werror>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${FLOWDARTS_WERROR}>>:-Werror=all-warnings>)
if(FLOWDARTS_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${FLOWDARTS_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer> $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>)
  add_link_options(-fsanitize=${FLOWDARTS_SANITIZE})
endif()

# flowdarts_library(NAME SOURCES ... LIBS ... [TORCH]): the static library flowdarts_NAME, alias flowdarts::NAME. Without sources it
# is an interface library. TORCH gives it LibTorch and the shared precompiled header.
function(flowdarts_library name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LIBS;PRIVATE_LIBS" ${ARGN})
  if(ARG_SOURCES)
    add_library(flowdarts_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(flowdarts_${name} PUBLIC flowdarts_settings ${ARG_LIBS} PRIVATE ${ARG_PRIVATE_LIBS})
    # Not linked, so that the exported library does not name it.
    target_compile_options(flowdarts_${name} PRIVATE $<TARGET_PROPERTY:flowdarts_own_flags,INTERFACE_COMPILE_OPTIONS>)
    if(ARG_TORCH)
      target_link_libraries(flowdarts_${name} PUBLIC LibTorch::LibTorch)
      flowdarts_use_torch_header(flowdarts_${name})
    endif()
  else()
    add_library(flowdarts_${name} INTERFACE)
    target_link_libraries(flowdarts_${name} INTERFACE flowdarts_settings ${ARG_LIBS})
    if(ARG_TORCH)
      target_link_libraries(flowdarts_${name} INTERFACE LibTorch::LibTorch)
    endif()
  endif()
  add_library(flowdarts::${name} ALIAS flowdarts_${name})
  set_target_properties(flowdarts_${name} PROPERTIES EXPORT_NAME ${name})
  set_property(GLOBAL APPEND PROPERTY FLOWDARTS_LIBRARIES flowdarts_${name})
endfunction()

# One precompiled <torch/torch.h> serves every target that includes LibTorch.
function(flowdarts_use_torch_header target)
  if(NOT TARGET flowdarts_torch_header)
    file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/torch_header.cpp" CONTENT "// Compiles the shared precompiled header.\n")
    add_library(flowdarts_torch_header OBJECT "${PROJECT_BINARY_DIR}/torch_header.cpp")
    target_link_libraries(flowdarts_torch_header PRIVATE flowdarts_settings flowdarts_own_flags LibTorch::LibTorch)
    target_precompile_headers(flowdarts_torch_header PRIVATE <torch/torch.h>)
  endif()
  target_precompile_headers(${target} REUSE_FROM flowdarts_torch_header)
endfunction()

# flowdarts_test(NAME SOURCES ... LIBS ... [TORCH] [LABELS ...]): one GoogleTest program, each of its cases a ctest test.
function(flowdarts_test name)
  cmake_parse_arguments(ARG "TORCH" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE flowdarts_own_flags GTest::gtest_main GTest::gmock ${ARG_LIBS})
  target_compile_definitions(${name} PRIVATE FLOWDARTS_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             FLOWDARTS_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  if(ARG_TORCH)
    target_link_libraries(${name} PRIVATE LibTorch::LibTorch)
    flowdarts_use_torch_header(${name})
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
