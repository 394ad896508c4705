flowdarts_test(test_mix TORCH SOURCES mixed_op/mix_test.cpp LIBS flowdarts::spaces hwy::hwy)

flowdarts_test(test_mix_kernels SOURCES mixed_op/mix_kernels_test.cpp LIBS flowdarts::kernels flowdarts::support hwy::hwy)
# Highway's list of what was compiled must be that of the kernels.
target_compile_definitions(test_mix_kernels PRIVATE $<TARGET_PROPERTY:flowdarts_kernels,COMPILE_DEFINITIONS>)
