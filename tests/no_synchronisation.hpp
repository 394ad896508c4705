#pragma once

#include <c10/cuda/CUDAFunctions.h>

namespace flowdarts::testing {

/// Fails what makes the host wait for the device, as far as LibTorch sees it.
class NoSynchronisation {
 public:
  NoSynchronisation() { c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR); }
  ~NoSynchronisation() { c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED); }
  NoSynchronisation(const NoSynchronisation&) = delete;
  NoSynchronisation& operator=(const NoSynchronisation&) = delete;
};

}  // namespace flowdarts::testing
