# Also in a build for GPUs, though nothing of exported files is different there: it is what brings all that Python needs to
# import torch, and published networks are then loaded, not only compared by names and shapes.
flowdarts_test(test_export TORCH SOURCES export/onnx_test.cpp export/published_names_test.cpp export/safetensors_test.cpp
               LIBS flowdarts::export flowdarts::stand_alone nlohmann_json::nlohmann_json)
