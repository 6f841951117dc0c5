// Splits a range among OpenMP threads, the same way every time: part t of `threads` is the t-th run of whole `align`s.
// Ops use it for work whose results do not depend on where the range is cut.
//   ParallelFor(threads, rows, 1, [&](int64_t begin, int64_t end) { ... });
#pragma once

#include <algorithm>
#include <cstdint>

namespace swage::cpu {

template <typename Body>
void ParallelFor(int threads, int64_t n, int64_t align, const Body& body) {
  const int64_t units = (n + align - 1) / align;
  const int parts = static_cast<int>(std::min<int64_t>(threads, units));
  if (parts <= 1) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
#pragma omp parallel for num_threads(parts) schedule(static, 1)
  for (int part = 0; part < parts; ++part) {
    const int64_t begin = units * part / parts * align;
    const int64_t end = std::min(n, units * (part + 1) / parts * align);
    if (begin < end) body(begin, end);
  }
}

// For items that cost differently: each thread takes the next one. Items must not share what they write.
template <typename Body>
void ParallelForEach(int threads, int64_t items, const Body& body) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t item = 0; item < items; ++item) body(item);
}

}  // namespace swage::cpu
