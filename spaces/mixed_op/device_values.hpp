#pragma once

namespace flowdarts::mixed_op {

/// An array of float or, where `wide`, double, in device memory. Null: none. No LibTorch here.
struct DeviceValues {
  void* data = nullptr;
  bool wide = false;
};

}  // namespace flowdarts::mixed_op
