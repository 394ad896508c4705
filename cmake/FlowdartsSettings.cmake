# Settings every target shares, and the two helpers that make a library and a test.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")

find_program(CCACHE_PROGRAM ccache)
mark_as_advanced(CCACHE_PROGRAM)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers are cached only when ccache need not see the time stamps inside them.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
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
target_compile_features(flowdarts_settings INTERFACE cxx_std_20)
target_include_directories(flowdarts_settings INTERFACE "$<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>"
                                                        "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")

# Flags for flowdarts' own sources; consumers do not inherit them.
add_library(flowdarts_own_flags INTERFACE)
target_compile_options(flowdarts_own_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wnon-virtual-dtor;-Wno-missing-field-initializers>
  # GCC 12 sees overlaps in every concatenation of strings (its bug 105651).
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fpch-preprocess;-Wno-restrict>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${FLOWDARTS_WERROR}>>:-Werror>)
if(FLOWDARTS_SANITIZE)
  add_compile_options(-fsanitize=${FLOWDARTS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${FLOWDARTS_SANITIZE})
endif()

# flowdarts_library(NAME SOURCES ... LIBS ... [TORCH]): the static library flowdarts_NAME, alias flowdarts::NAME. Without sources it
# is an interface library. TORCH gives it LibTorch and the shared precompiled header.
function(flowdarts_library name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LIBS;PRIVATE_LIBS" ${ARGN})
  if(ARG_SOURCES)
    add_library(flowdarts_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(flowdarts_${name} PUBLIC flowdarts_settings ${ARG_LIBS}
                          PRIVATE $<BUILD_INTERFACE:flowdarts_own_flags> ${ARG_PRIVATE_LIBS})
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
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    # A precompiled header serves one setting only: -fPIC, as in the libraries, not the -fPIE of programs.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
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
