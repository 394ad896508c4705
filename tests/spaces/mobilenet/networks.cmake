flowdarts_test(test_mobilenet_networks TORCH
  SOURCES mobilenet/network_test.cpp mobilenet/fused_test.cpp
  LIBS flowdarts::spaces nlohmann_json::nlohmann_json)
