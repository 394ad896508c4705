# flowdarts_must_not_compile(NAME SOURCE FILE MESSAGE "text" [NAMES words...] [LIBS targets...])
#
# A test that passes when FILE does not compile and the compiler's output contains "text" and each of the words (the names
# of what is refused), word for word. As a control the same file must compile with -DFLOWDARTS_EXPECT_OK, so that a test
# cannot pass because of a misspelt include. The compiler only checks: no object is written, nothing is linked. LIBS give
# include folders, definitions and options.
function(flowdarts_must_not_compile name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "SOURCE;MESSAGE" "NAMES;LIBS")
  foreach(needed SOURCE MESSAGE)
    if(NOT ARG_${needed})
      message(FATAL_ERROR "flowdarts_must_not_compile(${name}): ${needed} is missing")
    endif()
  endforeach()
  cmake_path(ABSOLUTE_PATH ARG_SOURCE BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")

  # The generator expressions of an interface library gather what its libraries ask for, theirs included.
  add_library(compile_fail_${name} INTERFACE)
  target_link_libraries(compile_fail_${name} INTERFACE ${ARG_LIBS})
  set(includes "$<REMOVE_DUPLICATES:$<TARGET_PROPERTY:compile_fail_${name},INTERFACE_INCLUDE_DIRECTORIES>>")
  # As CMake does: a folder the compiler searches anyway, named again, comes too early for #include_next.
  list(JOIN CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES "|" implicit)
  string(REPLACE "+" "[+]" implicit "${implicit}")
  set(includes "$<FILTER:${includes},EXCLUDE,^(${implicit})/?$>")
  set(definitions "$<TARGET_PROPERTY:compile_fail_${name},INTERFACE_COMPILE_DEFINITIONS>")
  set(options "$<TARGET_PROPERTY:compile_fail_${name},INTERFACE_COMPILE_OPTIONS>")
  set(arguments "${CMAKE_CURRENT_BINARY_DIR}/compile_fail_${name}")
  file(GENERATE OUTPUT "${arguments}.$<COMPILE_LANGUAGE>" CONTENT "-std=c++20
-fsyntax-only
$<$<BOOL:${includes}>:-isystem \"$<JOIN:${includes},\"\n-isystem \">\">
$<$<BOOL:${definitions}>:-D$<JOIN:${definitions},\n-D>>
$<JOIN:${options},\n>
")
  add_test(NAME must_not_compile.${name}
           COMMAND "${CMAKE_COMMAND}" "-DCOMPILER=${CMAKE_CXX_COMPILER}" "-DARGUMENTS=${arguments}.CXX" "-DSOURCE=${ARG_SOURCE}"
                   "-DMESSAGE=${ARG_MESSAGE}" "-DNAMES=${ARG_NAMES}" -P "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/FlowdartsCompileFailRun.cmake")
  set_tests_properties(must_not_compile.${name} PROPERTIES LABELS compile_fail TIMEOUT 120 ENVIRONMENT LC_ALL=C)
endfunction()
