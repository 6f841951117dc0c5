// Codebooks: a code is the index of the nearest of at most 256 ascending values, relative to the
// scale of the group. NF4 (Dettmers et al. 2023, "QLoRA", appendix E) is the one with a name: 16
// values at quantiles of the normal distribution, absmax scale.
//   NearestCodeword(values, 16, x)   the midpoint of two values belongs to the lower one; NaN gives
//   0
// Pure functions, usable on the host and in CUDA kernels.
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage {

constexpr int kMaxCodebook = 256;
constexpr int kNf4Values = 16;

SWAGE_HD float Nf4Value(int code) {
  const float values[kNf4Values] = {-1.0f,
                                    -0.6961928009986877f,
                                    -0.5250730514526367f,
                                    -0.39491748809814453f,
                                    -0.28444138169288635f,
                                    -0.18477343022823334f,
                                    -0.09105003625154495f,
                                    0.0f,
                                    0.07958029955625534f,
                                    0.16093020141124725f,
                                    0.24611230194568634f,
                                    0.33791524171829224f,
                                    0.44070982933044434f,
                                    0.5626170039176941f,
                                    0.7229568362236023f,
                                    1.0f};
  return values[code];
}

SWAGE_HD float CodebookMiddle(float lower, float upper) { return (lower + upper) * 0.5f; }

SWAGE_HD int NearestCodeword(const float* values, int count, float x) {
  int low = 0, high = count - 1;
  while (low < high) {
    const int at = (low + high) / 2;
    if (x > CodebookMiddle(values[at], values[at + 1])) {
      low = at + 1;
    } else {
      high = at;
    }
  }
  return low;
}

SWAGE_HD int NearestNf4(float x) {
  int code = 0;
  for (int i = 0; i + 1 < kNf4Values; ++i) {
    code += x > CodebookMiddle(Nf4Value(i), Nf4Value(i + 1)) ? 1 : 0;
  }
  return code;
}

}  // namespace swage
