// Splits a range among OpenMP threads. Ops use it for work whose results do not depend on where the
// range is cut.
//   ParallelFor(threads, rows, RowGrain(columns), [&](int64_t begin, int64_t end) { ... });
#pragma once

#include <algorithm>
#include <cstdint>

namespace swage::cpu {

// Less work than this is not worth waking a thread for: some microseconds at memory speed.
constexpr int64_t kElementGrain = 16384;

// Rows that make up about kElementGrain elements.
inline int64_t RowGrain(int64_t columns) {
  return std::max<int64_t>(1, kElementGrain / std::max<int64_t>(1, columns));
}

// Cuts [0, n) into at most `threads` runs of whole grains, the same way every time.
template <typename Body>
void ParallelFor(int threads, int64_t n, int64_t grain, const Body& body) {
  const int64_t grains = (n + grain - 1) / grain;
  const int parts = static_cast<int>(std::min<int64_t>(threads, grains));
  if (parts <= 1) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
#pragma omp parallel for num_threads(parts) schedule(static, 1)
  for (int part = 0; part < parts; ++part) {
    body(grains * part / parts * grain, std::min(n, grains * (part + 1) / parts * grain));
  }
}

// For items that cost differently: each thread takes the next one. Items must not share what they
// write.
template <typename Body>
void ParallelForEach(int threads, int64_t items, const Body& body) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (items > 1)
  for (int64_t item = 0; item < items; ++item) body(item);
}

}  // namespace swage::cpu
