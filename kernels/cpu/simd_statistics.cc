// Sums of columns in double. Some rows at a time, so that sums stay in registers and rows stream.
// Products and sums are rounded one by one, as the reference does: the same bits.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/simd_families.h"
#include "kernels/numeric/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_statistics.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Double = hn::ScalableTag<double>;
using Half = hn::Rebind<float, Double>;  // as many floats as doubles fit into a vector
using VD = hn::Vec<Double>;
using VH = hn::Vec<Half>;

constexpr int64_t kRows = 16;

HWY_INLINE VH LoadFloats(const float* x) { return hn::LoadU(Half(), x); }
HWY_INLINE VH LoadFloats(const uint16_t* x) {
  const hn::Rebind<uint16_t, Half> dh;
  const hn::RebindToUnsigned<Half> dw;
  return hn::BitCast(Half(), hn::ShiftLeft<16>(hn::PromoteTo(dw, hn::LoadU(dh, x))));
}
HWY_INLINE float LoadFloat(const float* x) { return *x; }
HWY_INLINE float LoadFloat(const uint16_t* x) { return FloatOfBf16(*x); }

template <typename T>
HWY_INLINE void VectorOfColumns(int64_t rows, int64_t columns, int64_t c, const T* x,
                                const ColumnSums& sums) {
  const Double dd;
  const Half dh;
  VD p1 = hn::LoadU(dd, sums.power1 + c), p2 = hn::LoadU(dd, sums.power2 + c);
  VD p3 = hn::LoadU(dd, sums.power3 + c), p4 = hn::LoadU(dd, sums.power4 + c);
  VH min = hn::LoadU(dh, sums.min + c), max = hn::LoadU(dh, sums.max + c);
  for (int64_t r = 0; r < rows; ++r) {
    const VH narrow = LoadFloats(x + r * columns + c);
    const VD wide = hn::PromoteTo(dd, narrow), square = hn::Mul(wide, wide);
    p1 = hn::Add(p1, wide);
    p2 = hn::Add(p2, square);
    p3 = hn::Add(p3, hn::Mul(square, wide));
    p4 = hn::Add(p4, hn::Mul(square, square));
    min = hn::IfThenElse(hn::Lt(narrow, min), narrow, min);  // NaN changes nothing
    max = hn::IfThenElse(hn::Gt(narrow, max), narrow, max);
  }
  hn::StoreU(p1, dd, sums.power1 + c);
  hn::StoreU(p2, dd, sums.power2 + c);
  hn::StoreU(p3, dd, sums.power3 + c);
  hn::StoreU(p4, dd, sums.power4 + c);
  hn::StoreU(min, dh, sums.min + c);
  hn::StoreU(max, dh, sums.max + c);
}

template <typename T>
void AnyColumns(int64_t rows, int64_t columns, int64_t begin, int64_t end, const T* x,
                const ColumnSums& sums) {
  const int64_t lanes = hn::Lanes(Double());
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t count = std::min(kRows, rows - first);
    const T* block = x + first * columns;
    int64_t c = begin;
    for (; c + lanes <= end; c += lanes) VectorOfColumns(count, columns, c, block, sums);
    for (; c < end; ++c) {
      for (int64_t r = 0; r < count; ++r) {
        const float narrow = LoadFloat(block + r * columns + c);
        const double wide = narrow, square = wide * wide;
        sums.power1[c] += wide;
        sums.power2[c] += square;
        sums.power3[c] += square * wide;
        sums.power4[c] += square * square;
        sums.min[c] = std::min(sums.min[c], narrow);
        sums.max[c] = std::max(sums.max[c], narrow);
      }
    }
  }
}

void ColumnsOfFloats(int64_t rows, int64_t columns, int64_t begin, int64_t end, const float* x,
                     const ColumnSums& sums) {
  AnyColumns(rows, columns, begin, end, x, sums);
}
void ColumnsOfHalves(int64_t rows, int64_t columns, int64_t begin, int64_t end, const uint16_t* x,
                     const ColumnSums& sums) {
  AnyColumns(rows, columns, begin, end, x, sums);
}

void WeightGradientRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const float* x,
                       const float* dy, const float* factors, double* sums) {
  const Double dd;
  const Half dh;
  const int64_t lanes = hn::Lanes(dd);
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t last = std::min(rows, first + kRows);
    int64_t c = begin;
    for (; c + lanes <= end; c += lanes) {
      VD sum = hn::LoadU(dd, sums + c);
      for (int64_t r = first; r < last; ++r) {
        const VH scaled = hn::Mul(hn::LoadU(dh, x + r * columns + c), hn::Set(dh, factors[r]));
        const VD product = hn::Mul(hn::PromoteTo(dd, hn::LoadU(dh, dy + r * columns + c)),
                                   hn::PromoteTo(dd, scaled));
        sum = hn::Add(sum, product);
      }
      hn::StoreU(sum, dd, sums + c);
    }
    for (; c < end; ++c) {
      for (int64_t r = first; r < last; ++r) {
        const float scaled = x[r * columns + c] * factors[r];
        sums[c] += static_cast<double>(dy[r * columns + c]) * scaled;
      }
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(ColumnsOfFloats);
HWY_EXPORT(ColumnsOfHalves);
HWY_EXPORT(WeightGradientRun);

void ColumnsRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const float* x,
                const ColumnSums& sums) {
  HWY_DYNAMIC_DISPATCH(ColumnsOfFloats)(rows, columns, begin, end, x, sums);
}
void ColumnsRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const uint16_t* bf16,
                const ColumnSums& sums) {
  HWY_DYNAMIC_DISPATCH(ColumnsOfHalves)(rows, columns, begin, end, bf16, sums);
}
void WeightGradientRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const float* x,
                       const float* dy, const float* factors, double* sums) {
  HWY_DYNAMIC_DISPATCH(WeightGradientRun)(rows, columns, begin, end, x, dy, factors, sums);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
