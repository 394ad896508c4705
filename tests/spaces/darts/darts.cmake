flowdarts_test(test_darts_genotypes
  SOURCES darts/genotype_test.cpp darts/count_test.cpp darts/derive_test.cpp
  LIBS flowdarts::genotypes nlohmann_json::nlohmann_json)
flowdarts_test(test_darts_networks TORCH
  SOURCES darts/golden_network_test.cpp darts/supernet_test.cpp darts/fused_test.cpp
  LIBS flowdarts::spaces nlohmann_json::nlohmann_json hwy::hwy)
