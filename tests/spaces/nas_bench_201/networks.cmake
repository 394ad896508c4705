flowdarts_test(test_nas_bench_201_networks TORCH
  SOURCES nas_bench_201/golden_network_test.cpp nas_bench_201/supernet_test.cpp nas_bench_201/fused_test.cpp
          nas_bench_201/candidates_test.cpp
  LIBS flowdarts::spaces nlohmann_json::nlohmann_json)
