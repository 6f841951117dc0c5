// The scalar rules of selection and histograms, which all implementations share so that they give
// the same bytes. Pure functions, usable on the host and in CUDA kernels.
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage {

// Orders |x| as unsigned numbers; NaN above infinity.
SWAGE_HD uint32_t MagnitudeBits(float x) { return BitsOf(x) & 0x7fffffffu; }

// Is element i of a group of m among the n largest? Of equal ones the first.
SWAGE_HD bool KeptOfGroup(const float* group, int m, int n, int i) {
  const uint32_t own = MagnitudeBits(group[i]);
  int larger = 0;
  for (int j = 0; j < m; ++j) {
    const uint32_t other = MagnitudeBits(group[j]);
    larger += other > own || (other == own && j < i) ? 1 : 0;
  }
  return larger < n;
}

// Slots: below low, the bins, from high on, NaN (kernels/api/statistics.h).
struct HistogramGrid {
  SWAGE_HD HistogramGrid(float low_in, float high_in, int64_t bins_in)
      : low(low_in),
        high(high_in),
        per_bin(static_cast<float>(bins_in) / (high_in - low_in)),
        bins(bins_in) {}
  SWAGE_HD int64_t SlotOf(float x) const {
    if (x < low) return 0;
    if (x >= high) return bins + 1;
    if (!(x >= low)) return bins + 2;
    const int64_t bin = static_cast<int64_t>((x - low) * per_bin);
    return 1 + (bin < bins ? bin : bins - 1);
  }
  float low, high, per_bin;
  int64_t bins;
};

}  // namespace swage
