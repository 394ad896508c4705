flowdarts_test(test_darts_genotypes
  SOURCES darts/genotype_test.cpp darts/count_test.cpp darts/derive_test.cpp
  LIBS flowdarts::genotypes nlohmann_json::nlohmann_json)
flowdarts_test(test_darts_networks TORCH
  SOURCES darts/golden_network_test.cpp darts/supernet_test.cpp darts/fused_test.cpp
          darts/candidates_test.cpp
  LIBS flowdarts::spaces nlohmann_json::nlohmann_json hwy::hwy)
flowdarts_test(test_conv1x1_kernels SOURCES mixed_op/conv1x1_kernels_test.cpp
  LIBS flowdarts::kernels flowdarts::support hwy::hwy)
# Highway's list of what was compiled must be that of the kernels.
target_compile_definitions(test_conv1x1_kernels PRIVATE $<TARGET_PROPERTY:flowdarts_kernels,COMPILE_DEFINITIONS>)
