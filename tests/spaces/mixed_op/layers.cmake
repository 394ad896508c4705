flowdarts_test(test_mixed_op_layers TORCH
  SOURCES mixed_op/depthwise_test.cpp mixed_op/pool_test.cpp mixed_op/conv_test.cpp
  LIBS flowdarts::spaces hwy::hwy)
