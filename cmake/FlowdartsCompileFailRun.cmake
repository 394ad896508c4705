# Run by a test of flowdarts_must_not_compile(): COMPILER, ARGUMENTS (a response file), SOURCE, MESSAGE, NAMES.

function(fail text)
  message(NOTICE "${text}")  # Not in the error, which would wrap the lines of the compiler.
  message(FATAL_ERROR "${SOURCE}: failed")
endfunction()

execute_process(COMMAND "${COMPILER}" "@${ARGUMENTS}" -DFLOWDARTS_EXPECT_OK "${SOURCE}"
                RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(failed)
  fail("With FLOWDARTS_EXPECT_OK the file must compile, but does not:\n${output}")
endif()

execute_process(COMMAND "${COMPILER}" "@${ARGUMENTS}" "${SOURCE}"
                RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT failed)
  fail("The file must not compile, but does.")
endif()
function(require_in_output text)
  string(FIND "${output}" "${text}" position)
  if(position EQUAL -1)
    fail("The file does not compile, as it should, but the compiler does not say\n  ${text}\nIt says:\n${output}")
  endif()
endfunction()
require_in_output("${MESSAGE}")
foreach(name IN LISTS NAMES)
  require_in_output("${name}")
endforeach()
