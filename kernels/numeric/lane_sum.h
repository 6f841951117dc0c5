// Sums that have the same bits on every device: element i of a run is added to lane i % 32 in the
// order of i, in f32; the lanes are added in a tree, lane l and l + 16, then l and l + 8, ... That
// is what a warp does with its shuffles and a vector unit with a few registers. Runs (rows) are
// summed in double, in their order.
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage {

constexpr int kSumLanes = 32;

struct LaneSums {
  float lane[kSumLanes] = {};
};

SWAGE_HD float TreeSum(const LaneSums& sums) {
  LaneSums s = sums;
  for (int width = kSumLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) s.lane[l] += s.lane[l + width];
  }
  return s.lane[0];
}

}  // namespace swage
