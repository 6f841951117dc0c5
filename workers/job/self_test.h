// Whether a device still computes what it should: small products and quantizations whose every bit is
// known, because all values are integers that f32 and bf16 hold exactly, or because the formats
// promise the same bytes everywhere. Milliseconds; for the probe (workers/job/probe.h).
#pragma once

#include <cstddef>
#include <functional>

#include "base/status.h"
#include "kernels/api/ops.h"

namespace swage {

inline constexpr size_t kSelfTestBytes = 1u << 20;

// Memory that both this process and the device of the ops can read and write.
struct SelfTestMemory {
  char* bytes = nullptr;           // kSelfTestBytes, 256-byte aligned
  std::function<Status()> finish;  // waits until results of the ops can be read; may be null
};

// DATA_LOSS/SELF_TEST_FAILED names the op that differed. What the ops lack is left out.
Status SelfTest(Ops* ops, const SelfTestMemory& memory);
Status SelfTestCpu(Ops* ops);  // in memory of its own

}  // namespace swage
