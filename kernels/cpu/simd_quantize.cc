#include <algorithm>
#include <cmath>

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_quantize.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/formats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {

MinMax RangeOf(int64_t n, const float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  // Four chains, so that the loads and not the latency of min and max set the speed.
  VF min0 = hn::Zero(df), min1 = min0, max0 = min0, max1 = min0;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const VF a = hn::LoadU(df, x + i), b = hn::LoadU(df, x + i + lanes);
    min0 = hn::Min(min0, a);
    min1 = hn::Min(min1, b);
    max0 = hn::Max(max0, a);
    max1 = hn::Max(max1, b);
  }
  for (; i + lanes <= n; i += lanes) {
    min0 = hn::Min(min0, hn::LoadU(df, x + i));
    max0 = hn::Max(max0, hn::LoadU(df, x + i));
  }
  MinMax range;
  range.min = hn::GetLane(hn::MinOfLanes(df, hn::Min(min0, min1)));
  range.max = hn::GetLane(hn::MaxOfLanes(df, hn::Max(max0, max1)));
  for (; i < n; ++i) {
    range.min = std::min(range.min, x[i]);
    range.max = std::max(range.max, x[i]);
  }
  return range;
}

HWY_INLINE float AbsMaxOf(int64_t n, const float* x) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  VF max0 = hn::Zero(df), max1 = max0;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    max0 = hn::Max(max0, hn::Abs(hn::LoadU(df, x + i)));
    max1 = hn::Max(max1, hn::Abs(hn::LoadU(df, x + i + lanes)));
  }
  for (; i + lanes <= n; i += lanes) max0 = hn::Max(max0, hn::Abs(hn::LoadU(df, x + i)));
  float max = hn::GetLane(hn::MaxOfLanes(df, hn::Max(max0, max1)));
  for (; i < n; ++i) max = std::max(max, std::fabs(x[i]));
  return max;
}

void RangeGroups(int64_t groups, int64_t group, const float* w, float* mins, float* maxs) {
  for (int64_t g = 0; g < groups; ++g) {
    if (mins == nullptr) {
      maxs[g] = AbsMaxOf(group, w + g * group);
    } else {
      const MinMax range = RangeOf(group, w + g * group);
      mins[g] = range.min;
      maxs[g] = range.max;
    }
  }
}

template <class Coder>
HWY_INLINE void StoreCodes(VI code, int8_t* codes) {
  if constexpr (Coder::kSigned) {
    const hn::Rebind<int8_t, Float> db;
    hn::StoreU(hn::DemoteTo(db, code), db, codes);
  } else {
    const hn::Rebind<uint8_t, Float> db;
    hn::StoreU(hn::DemoteTo(db, code), db, reinterpret_cast<uint8_t*>(codes));
  }
}

template <class Coder>
HWY_INLINE VI LoadCodes(const int8_t* codes) {
  if constexpr (Coder::kSigned) {
    return hn::PromoteTo(Word(), hn::LoadU(hn::Rebind<int8_t, Float>(), codes));
  } else {
    return hn::PromoteTo(
        Word(), hn::LoadU(hn::Rebind<uint8_t, Float>(), reinterpret_cast<const uint8_t*>(codes)));
  }
}

template <class Coder>
void EncodeGroupsOf(const NumberCodec& codec, int64_t groups, int64_t group, const float* w,
                    const float* scales, const float* zeros, int8_t* codes) {
  const Float df;
  const Coder coder(codec);
  const int64_t lanes = hn::Lanes(df);
  for (int64_t g = 0; g < groups; ++g, w += group, codes += group) {
    const VF scale = hn::Set(df, scales[g]), zero = hn::Set(df, zeros[g]);
    int64_t i = 0;
    for (; i + lanes <= group; i += lanes) {
      StoreCodes<Coder>(coder.Encode(hn::LoadU(df, w + i), scale, zero), codes + i);
    }
    for (; i < group; ++i) codes[i] = EncodeNumber(codec, w[i], scales[g], zeros[g]);
  }
}

template <class Coder>
void DecodeGroupsOf(const NumberCodec& codec, int64_t groups, int64_t group, const int8_t* codes,
                    const float* scales, const float* zeros, float* w) {
  const Float df;
  const Coder coder(codec);
  const int64_t lanes = hn::Lanes(df);
  for (int64_t g = 0; g < groups; ++g, w += group, codes += group) {
    const VF scale = hn::Set(df, scales[g]), zero = hn::Set(df, zeros[g]);
    int64_t i = 0;
    for (; i + lanes <= group; i += lanes) {
      hn::StoreU(coder.Decode(LoadCodes<Coder>(codes + i), scale, zero), df, w + i);
    }
    for (; i < group; ++i) w[i] = DecodeNumber(codec, codes[i], scales[g], zeros[g]);
  }
}

template <class Coder>
void FakeGroupsOf(const NumberCodec& codec, int64_t groups, int64_t group, const float* scales,
                  const float* zeros, float* x) {
  const Float df;
  const Coder coder(codec);
  const int64_t lanes = hn::Lanes(df);
  for (int64_t g = 0; g < groups; ++g, x += group) {
    const VF scale = hn::Set(df, scales[g]), zero = hn::Set(df, zeros[g]);
    int64_t i = 0;
    for (; i + lanes <= group; i += lanes) {
      const VI code = coder.Encode(hn::LoadU(df, x + i), scale, zero);
      hn::StoreU(coder.Decode(code, scale, zero), df, x + i);
    }
    for (; i < group; ++i) {
      const int8_t code = EncodeNumber(codec, x[i], scales[g], zeros[g]);
      x[i] = DecodeNumber(codec, code, scales[g], zeros[g]);
    }
  }
}

// Adds `value(i)` to lane i % kSumLanes; vectors of value come from `vector(i)`.
template <class Vector, class Scalar>
HWY_INLINE float LaneSumOf(int64_t n, const Vector& vector, const Scalar& scalar) {
  const Float df;
  const int64_t lanes = hn::Lanes(df);
  LaneSums sums;
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    float* const at = sums.lane + i % kSumLanes;
    hn::StoreU(hn::Add(hn::LoadU(df, at), vector.At(i)), df, at);
  }
  for (; i < n; ++i) sums.lane[i % kSumLanes] += scalar.At(i);
  return TreeSum(sums);
}

struct AbsVector {
  const float* x;
  HWY_INLINE VF At(int64_t i) const { return hn::Abs(hn::LoadU(Float(), x + i)); }
};
struct AbsScalar {
  const float* x;
  float At(int64_t i) const { return std::fabs(x[i]); }
};

float AbsSumOf(int64_t n, const float* x) { return LaneSumOf(n, AbsVector{x}, AbsScalar{x}); }

template <class Coder>
struct ErrorVector {
  const Coder& coder;
  const float* w;
  const float* importance;
  float scale, zero;
  HWY_INLINE VF At(int64_t i) const {
    const Float df;
    const VF x = hn::LoadU(df, w + i), s = hn::Set(df, scale), z = hn::Set(df, zero);
    const VF off = hn::Sub(x, coder.Decode(coder.Encode(x, s, z), s, z));
    const VF weight = importance == nullptr ? hn::Set(df, 1.0f) : hn::LoadU(df, importance + i);
    return hn::Mul(hn::Mul(off, off), weight);
  }
};
struct ErrorScalar {
  const NumberCodec& codec;
  const float* w;
  const float* importance;
  float scale, zero;
  float At(int64_t i) const {
    return SquaredError(codec, w[i], importance == nullptr ? 1.0f : importance[i], scale, zero);
  }
};

template <class Coder>
float ErrorSumOfCoder(const NumberCodec& codec, int64_t n, const float* w, const float* importance,
                      float scale, float zero) {
  const Coder coder(codec);
  return LaneSumOf(n, ErrorVector<Coder>{coder, w, importance, scale, zero},
                   ErrorScalar{codec, w, importance, scale, zero});
}

#define SWAGE_BY_KIND(Function, ...)                                              \
  switch (codec.kind) {                                                           \
    case CodeKind::kIntegerMinimum:                                               \
      return Function<MinimumCoder>(codec, __VA_ARGS__);                          \
    case CodeKind::kFp8E4M3:                                                      \
      return Function<E4M3Coder>(codec, __VA_ARGS__);                             \
    case CodeKind::kFp8E5M2:                                                      \
      return Function<E5M2Coder>(codec, __VA_ARGS__);                             \
    case CodeKind::kFp4:                                                          \
      return Function<Fp4Coder>(codec, __VA_ARGS__);                              \
    case CodeKind::kCodebook:                                                     \
      return codec.count <= 16 ? Function<SmallCodebookCoder>(codec, __VA_ARGS__) \
                               : Function<CodebookCoder>(codec, __VA_ARGS__);     \
    default:                                                                      \
      return Function<IntCoder>(codec, __VA_ARGS__);                              \
  }

void EncodeGroups(const NumberCodec& codec, int64_t groups, int64_t group, const float* w,
                  const float* scales, const float* zeros, int8_t* codes) {
  SWAGE_BY_KIND(EncodeGroupsOf, groups, group, w, scales, zeros, codes)
}
void DecodeGroups(const NumberCodec& codec, int64_t groups, int64_t group, const int8_t* codes,
                  const float* scales, const float* zeros, float* w) {
  SWAGE_BY_KIND(DecodeGroupsOf, groups, group, codes, scales, zeros, w)
}
void FakeGroups(const NumberCodec& codec, int64_t groups, int64_t group, const float* scales,
                const float* zeros, float* x) {
  SWAGE_BY_KIND(FakeGroupsOf, groups, group, scales, zeros, x)
}
float ErrorSumOf(const NumberCodec& codec, int64_t n, const float* w, const float* importance,
                 float scale, float zero) {
  SWAGE_BY_KIND(ErrorSumOfCoder, n, w, importance, scale, zero)
}
#undef SWAGE_BY_KIND

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(RangeOf);
HWY_EXPORT(RangeGroups);
HWY_EXPORT(EncodeGroups);
HWY_EXPORT(DecodeGroups);
HWY_EXPORT(FakeGroups);
HWY_EXPORT(AbsSumOf);
HWY_EXPORT(ErrorSumOf);

MinMax RangeOf(int64_t n, const float* x) { return HWY_DYNAMIC_DISPATCH(RangeOf)(n, x); }
void RangeGroups(int64_t groups, int64_t group, const float* w, float* mins, float* maxs) {
  HWY_DYNAMIC_DISPATCH(RangeGroups)(groups, group, w, mins, maxs);
}
void EncodeGroups(const NumberCodec& codec, int64_t groups, int64_t group, const float* w,
                  const float* scales, const float* zeros, int8_t* codes) {
  HWY_DYNAMIC_DISPATCH(EncodeGroups)(codec, groups, group, w, scales, zeros, codes);
}
void DecodeGroups(const NumberCodec& codec, int64_t groups, int64_t group, const int8_t* codes,
                  const float* scales, const float* zeros, float* w) {
  HWY_DYNAMIC_DISPATCH(DecodeGroups)(codec, groups, group, codes, scales, zeros, w);
}
void FakeGroups(const NumberCodec& codec, int64_t groups, int64_t group, const float* scales,
                const float* zeros, float* x) {
  HWY_DYNAMIC_DISPATCH(FakeGroups)(codec, groups, group, scales, zeros, x);
}
float AbsSumOf(int64_t n, const float* x) { return HWY_DYNAMIC_DISPATCH(AbsSumOf)(n, x); }
float ErrorSumOf(const NumberCodec& codec, int64_t n, const float* w, const float* importance,
                 float scale, float zero) {
  return HWY_DYNAMIC_DISPATCH(ErrorSumOf)(codec, n, w, importance, scale, zero);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
