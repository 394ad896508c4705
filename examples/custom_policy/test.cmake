# The program must know the policy and its options. Two small searches that differ in the penalty's strength alone: each must
# find a cell and record what it was made of, and the penalised one must give the largest op of every edge more weight. Reads
# PROGRAM and OUT.

function(expect_in what text)
  foreach(expected IN LISTS ARGN)
    string(FIND "${text}" "${expected}" place)
    if(place EQUAL -1)
      message(FATAL_ERROR "${what}: expected '${expected}', found:\n${text}")
    endif()
  endforeach()
endfunction()

execute_process(COMMAND "${PROGRAM}" --help OUTPUT_VARIABLE help COMMAND_ERROR_IS_FATAL ANY)
expect_in("--help" "${help}" "[regularizer]" "--regularizer-strength VALUE" "--regularizer-ramp VALUE"
          "factor of the entropy at the ramp's end" "default 25")

foreach(strength 0 10)
  set(run "${OUT}/strength-${strength}")
  file(REMOVE_RECURSE "${run}")
  execute_process(
    COMMAND "${PROGRAM}" --limit-samples 160 --channels 2 --cells 1 --epochs 3 --batch-size 16 --threads 1
            --alpha-lr 0.05 --regularizer-strength ${strength} --regularizer-ramp 1 --out "${run}"
    COMMAND_ERROR_IS_FATAL ANY)
  file(READ "${run}/config.toml" config)
  expect_in("config.toml" "${config}" "[regularizer]\nstrength = ${strength}\nramp = 1\n" "regularizer EntropyPenalty")
  file(READ "${run}/genotype.json" json)
  string(JSON genotype GET "${json}" genotype)
  message(STATUS "strength ${strength}: ${genotype}")

  # The weights after the last epoch: five ops of each of the six edges, row by row.
  file(STRINGS "${run}/metrics.jsonl" epochs)
  list(POP_BACK epochs last)
  set(largest_${strength} "")
  foreach(edge RANGE 5)
    set(largest 0)
    foreach(op RANGE 4)
      math(EXPR index "5 * ${edge} + ${op}")
      string(JSON weight GET "${last}" op_weights 0 ${index})
      if(weight GREATER largest)
        set(largest "${weight}")
      endif()
    endforeach()
    list(APPEND largest_${strength} "${largest}")
  endforeach()
  message(STATUS "largest weight of each edge: ${largest_${strength}}")
endforeach()

foreach(without with IN ZIP_LISTS largest_0 largest_10)
  if(NOT with GREATER without)
    message(FATAL_ERROR "an edge's largest weight is ${with} with the penalty, expected more than without it, ${without}")
  endif()
endforeach()
