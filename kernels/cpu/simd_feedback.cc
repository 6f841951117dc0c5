// GPTQ's sweep within a block of columns: two vectors of rows at a time, their columns in the nearest
// cache, the error of a column in registers while it is carried to those behind it.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/simd_families.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_feedback.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/formats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t kFeedbackLanes = hn::MaxLanes(Float());
constexpr int64_t kFeedbackRows = 2 * kFeedbackLanes;

// Some rows of one column; what is beyond the last row reads `otherwise`.
HWY_INLINE void LoadRows(const float* from, int64_t count, float otherwise, float* to) {
  std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
  for (int64_t r = count; r < kFeedbackRows; ++r) to[r] = otherwise;
}

struct RoundedHalf {
  VF error;
  VI code;
};

HWY_INLINE RoundedHalf RoundHalf(const IntCoder& coder, const float* w, const float* scale,
                                 const float* zero, float diagonal) {
  const Float df;
  const VF x = hn::LoadU(df, w), s = hn::LoadU(df, scale), z = hn::LoadU(df, zero);
  const VI code = coder.Encode(x, s, z);
  return {hn::Div(hn::Sub(x, coder.Decode(code, s, z)), hn::Set(df, diagonal)), code};
}

HWY_INLINE void StoreHalf(const RoundedHalf& half, float* errors, int8_t* codes) {
  const hn::Rebind<int8_t, Float> db;
  hn::StoreU(half.error, Float(), errors);
  hn::StoreU(hn::DemoteTo(db, half.code), db, codes);
}

// `count` rows from `row` on, at most kFeedbackRows.
HWY_INLINE double FeedbackRows(const FeedbackBlock& b, int64_t row, int64_t count) {
  const Float df;
  const IntCoder coder(b.codec);
  alignas(64) float w[kFeedbackColumns * kFeedbackRows];
  alignas(64) float scale[kFeedbackRows], zero[kFeedbackRows], error[kFeedbackRows];
  int8_t codes[kFeedbackRows];
  for (int64_t i = 0; i < b.columns; ++i)
    LoadRows(b.w + i * b.stride + row, count, 0.0f, w + i * kFeedbackRows);
  VF sum0 = hn::Zero(df), sum1 = hn::Zero(df);
  for (int64_t i = 0; i < b.columns; ++i) {
    const float* factor = b.factor + i * b.factor_stride;
    const int64_t at = b.group[i] * b.stride + row;
    if (i == 0 || b.group[i] != b.group[i - 1]) {
      LoadRows(b.scales + at, count, 1.0f, scale);
      LoadRows(b.zeros + at, count, 0.0f, zero);
    }
    const float* x = w + i * kFeedbackRows;
    const RoundedHalf half0 = RoundHalf(coder, x, scale, zero, factor[i]);
    const RoundedHalf half1 = RoundHalf(coder, x + kFeedbackLanes, scale + kFeedbackLanes,
                                        zero + kFeedbackLanes, factor[i]);
    const VF e0 = half0.error, e1 = half1.error;
    for (int64_t j = i + 1; j < b.columns; ++j) {
      float* y = w + j * kFeedbackRows;
      const VF r = hn::Set(df, factor[j]);
      hn::StoreU(hn::NegMulAdd(e0, r, hn::LoadU(df, y)), df, y);
      hn::StoreU(hn::NegMulAdd(e1, r, hn::LoadU(df, y + kFeedbackLanes)), df, y + kFeedbackLanes);
    }
    sum0 = hn::MulAdd(e0, e0, sum0);
    sum1 = hn::MulAdd(e1, e1, sum1);
    StoreHalf(half0, error, codes);
    StoreHalf(half1, error + kFeedbackLanes, codes + kFeedbackLanes);
    std::memcpy(b.errors + i * b.stride + row, error, static_cast<size_t>(count) * sizeof(float));
    std::memcpy(b.codes + i * b.stride + row, codes, static_cast<size_t>(count));
  }
  // Rows that are not there: zero weights, whose code stands for zero.
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(df, sum0))) +
         static_cast<double>(hn::GetLane(hn::SumOfLanes(df, sum1)));
}

double FeedbackRun(const FeedbackBlock& b) {
  double sum = 0;
  for (int64_t row = b.begin; row < b.end; row += kFeedbackRows)
    sum += FeedbackRows(b, row, std::min(kFeedbackRows, b.end - row));
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(FeedbackRun);

double FeedbackRun(const FeedbackBlock& block) { return HWY_DYNAMIC_DISPATCH(FeedbackRun)(block); }

}  // namespace swage::cpu
#endif  // HWY_ONCE
