if(NOT FLOWDARTS_CUDA)
  # Nothing of exported files is different in a build for GPUs.
  flowdarts_test(test_export TORCH SOURCES export/onnx_test.cpp export/published_names_test.cpp export/safetensors_test.cpp
                 LIBS flowdarts::export flowdarts::stand_alone nlohmann_json::nlohmann_json)
endif()
