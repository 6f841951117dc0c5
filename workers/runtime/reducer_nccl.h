// A Reducer over NCCL, for memory of one CUDA device a member: library swage_nccl, which is there where the CUDA toolkit
// has NCCL. A world of one is a communicator too.
#pragma once

#include <memory>

#include "workers/runtime/reducer.h"

namespace swage {

// `device`: CUDA's number. Errors as of ConnectReducer, and DEVICE_FAILED. No other communicator of this process may be in
// use at the same time on other threads: two at once can deadlock.
StatusOr<std::unique_ptr<Reducer>> ConnectNccl(const ReducerOptions& options, int device, const Meet& meet);

}  // namespace swage
