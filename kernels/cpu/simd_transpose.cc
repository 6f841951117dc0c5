// Transposition of 16-bit and 32-bit matrices, 8 x 8 and 4 x 4 values at a time in 128-bit vectors.
#include <algorithm>

#include "kernels/cpu/simd_families.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_transpose.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What fits into the first cache: rows of the source, columns that share its cache lines.
constexpr int64_t kTileRows = 256, kTileColumns = 32;

#if HWY_TARGET != HWY_SCALAR
// Pairs of lanes of D from two vectors side by side.
template <class D, class V>
HWY_INLINE V Low(D d, V a, V b) {
  return hn::BitCast(hn::DFromV<V>(), hn::InterleaveLower(d, hn::BitCast(d, a), hn::BitCast(d, b)));
}
template <class D, class V>
HWY_INLINE V High(D d, V a, V b) {
  return hn::BitCast(hn::DFromV<V>(), hn::InterleaveUpper(d, hn::BitCast(d, a), hn::BitCast(d, b)));
}

HWY_INLINE void Block(const uint16_t* x, int64_t columns, uint16_t* y, int64_t rows) {
  const hn::FixedTag<uint16_t, 8> d1;
  const hn::FixedTag<uint32_t, 4> d2;
  const hn::FixedTag<uint64_t, 2> d4;
  hn::Vec<decltype(d1)> r[8], pairs[8], quads[8];
  for (int i = 0; i < 8; ++i) r[i] = hn::LoadU(d1, x + i * columns);
  for (int i = 0; i < 4; ++i) {  // columns 0-3 and 4-7 of rows 2i, 2i + 1
    pairs[i] = Low(d1, r[2 * i], r[2 * i + 1]);
    pairs[4 + i] = High(d1, r[2 * i], r[2 * i + 1]);
  }
  for (int half = 0; half < 2; ++half) {
    const auto* p = pairs + 4 * half;
    quads[4 * half] = Low(d2, p[0], p[1]);  // two columns of rows 0-3
    quads[4 * half + 1] = High(d2, p[0], p[1]);
    quads[4 * half + 2] = Low(d2, p[2], p[3]);  // of rows 4-7
    quads[4 * half + 3] = High(d2, p[2], p[3]);
    for (int i = 0; i < 2; ++i) {
      uint16_t* out = y + (4 * half + 2 * i) * rows;
      hn::StoreU(Low(d4, quads[4 * half + i], quads[4 * half + 2 + i]), d1, out);
      hn::StoreU(High(d4, quads[4 * half + i], quads[4 * half + 2 + i]), d1, out + rows);
    }
  }
}

HWY_INLINE void Block(const float* x, int64_t columns, float* y, int64_t rows) {
  const hn::FixedTag<float, 4> d1;
  const hn::FixedTag<uint64_t, 2> d2;
  hn::Vec<decltype(d1)> r[4];
  for (int i = 0; i < 4; ++i) r[i] = hn::LoadU(d1, x + i * columns);
  const auto a = hn::InterleaveLower(d1, r[0], r[1]), b = hn::InterleaveUpper(d1, r[0], r[1]);
  const auto c = hn::InterleaveLower(d1, r[2], r[3]), d = hn::InterleaveUpper(d1, r[2], r[3]);
  hn::StoreU(Low(d2, a, c), d1, y);
  hn::StoreU(High(d2, a, c), d1, y + rows);
  hn::StoreU(Low(d2, b, d), d1, y + 2 * rows);
  hn::StoreU(High(d2, b, d), d1, y + 3 * rows);
}
#endif

// Columns [begin, end) of x [rows, columns] become rows of y [columns, rows].
template <typename T>
HWY_INLINE void Transpose(int64_t rows, int64_t columns, int64_t begin, int64_t end, const T* x,
                          T* y) {
  for (int64_t r0 = 0; r0 < rows; r0 += kTileRows) {
    const int64_t r1 = std::min(rows, r0 + kTileRows);
    for (int64_t c0 = begin; c0 < end; c0 += kTileColumns) {
      const int64_t c1 = std::min(end, c0 + kTileColumns);
      int64_t c = c0;
#if HWY_TARGET != HWY_SCALAR
      constexpr int64_t kSide = 16 / sizeof(T);
      const int64_t whole = r0 + (r1 - r0) / kSide * kSide;
      for (; c + kSide <= c1; c += kSide) {
        for (int64_t r = r0; r < whole; r += kSide) {
          Block(x + r * columns + c, columns, y + c * rows + r, rows);
        }
        for (int64_t r = whole; r < r1; ++r) {
          for (int64_t i = c; i < c + kSide; ++i) y[i * rows + r] = x[r * columns + i];
        }
      }
#endif
      for (; c < c1; ++c) {
        for (int64_t r = r0; r < r1; ++r) y[c * rows + r] = x[r * columns + c];
      }
    }
  }
}

void TransposeHalves(int64_t rows, int64_t columns, int64_t begin, int64_t end, const uint16_t* x,
                     uint16_t* y) {
  Transpose(rows, columns, begin, end, x, y);
}
void TransposeFloats(int64_t rows, int64_t columns, int64_t begin, int64_t end, const float* x,
                     float* y) {
  Transpose(rows, columns, begin, end, x, y);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(TransposeHalves);
HWY_EXPORT(TransposeFloats);

void TransposeRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const uint16_t* x,
                  uint16_t* y) {
  HWY_DYNAMIC_DISPATCH(TransposeHalves)(rows, columns, begin, end, x, y);
}
void TransposeRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const float* x,
                  float* y) {
  HWY_DYNAMIC_DISPATCH(TransposeFloats)(rows, columns, begin, end, x, y);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
