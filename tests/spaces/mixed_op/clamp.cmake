flowdarts_test(test_clamp_kernels SOURCES mixed_op/clamp_kernels_test.cpp
  LIBS flowdarts::kernels flowdarts::support hwy::hwy)
# Highway's list of what was compiled must be that of the kernels.
target_compile_definitions(test_clamp_kernels PRIVATE $<TARGET_PROPERTY:flowdarts_kernels,COMPILE_DEFINITIONS>)
