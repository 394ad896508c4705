flowdarts_test(test_mobilenet_genotypes
  SOURCES mobilenet/genotype_test.cpp mobilenet/count_test.cpp
  LIBS flowdarts::genotypes nlohmann_json::nlohmann_json)
