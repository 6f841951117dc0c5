// Vector forms of kernels/numeric, lane by lane the same arithmetic. Included once per instruction
// set by the simd_*.cc files (Highway's foreach_target), hence the toggling guard.
#if defined(SWAGE_KERNELS_CPU_FORMATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SWAGE_KERNELS_CPU_FORMATS_INL_H_
#undef SWAGE_KERNELS_CPU_FORMATS_INL_H_
#else
#define SWAGE_KERNELS_CPU_FORMATS_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/numeric/number_codec.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Float = hn::ScalableTag<float>;
using Word = hn::RebindToSigned<Float>;
using VF = hn::Vec<Float>;
using VI = hn::Vec<Word>;

// (bits + half - 1 + lowest kept bit): after dropping `kDropped` bits, rounded half to even.
template <int kDropped>
HWY_INLINE VI RoundBits(VI bits) {
  const Word di;
  const VI odd = hn::And(hn::ShiftRight<kDropped>(bits), hn::Set(di, 1));
  return hn::Add(hn::Add(bits, hn::Set(di, (1 << (kDropped - 1)) - 1)), odd);
}

HWY_INLINE VI EncodeFp8(VF x) {
  const Float df;
  const Word di;
  const VI bits = hn::BitCast(di, x);
  const VI sign = hn::And(hn::ShiftRight<24>(bits), hn::Set(di, 0x80));
  const VI magnitude = hn::And(bits, hn::Set(di, 0x7fffffff));
  const VI clamped = hn::Min(magnitude, hn::Set(di, 0x43e00000));
  const VI normal = hn::Sub(hn::ShiftRight<20>(RoundBits<20>(clamped)), hn::Set(di, 120 << 3));
  const VF shifted = hn::Add(hn::BitCast(df, clamped), hn::Set(df, 16384.0f));
  const VI small = hn::Sub(hn::BitCast(di, shifted), hn::Set(di, 0x46800000));
  VI code = hn::IfThenElse(hn::Lt(clamped, hn::Set(di, 0x3c800000)), small, normal);
  code = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7f800000)), hn::Set(di, 0x7f), code);
  return hn::Or(code, sign);
}

// Of codes 0..255.
HWY_INLINE VF DecodeFp8(VI code) {
  const Float df;
  const Word di;
  const VI magnitude = hn::And(code, hn::Set(di, 0x7f));
  const VI sign = hn::ShiftLeft<24>(hn::And(code, hn::Set(di, 0x80)));
  const VI shifted = hn::ShiftLeft<20>(magnitude);
  const VI normal = hn::Add(shifted, hn::Set(di, 120 << 23));
  const VF one_up = hn::BitCast(df, hn::Or(shifted, hn::Set(di, 121 << 23)));
  const VI small = hn::BitCast(di, hn::Sub(one_up, hn::Set(df, 0.015625f)));
  VI value = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 8)), small, normal);
  value = hn::IfThenElse(hn::Eq(magnitude, hn::Set(di, 0x7f)), hn::Set(di, 0x7fc00000), value);
  return hn::BitCast(df, hn::Or(value, sign));
}

HWY_INLINE VI EncodeFp8E5M2(VF x) {
  const Float df;
  const Word di;
  const VI bits = hn::BitCast(di, x);
  const VI sign = hn::And(hn::ShiftRight<24>(bits), hn::Set(di, 0x80));
  const VI magnitude = hn::And(bits, hn::Set(di, 0x7fffffff));
  const VI clamped = hn::Min(magnitude, hn::Set(di, 0x47600000));
  const VI normal = hn::Sub(hn::ShiftRight<21>(RoundBits<21>(clamped)), hn::Set(di, 112 << 2));
  const VF shifted = hn::Add(hn::BitCast(df, clamped), hn::Set(df, 128.0f));
  const VI small = hn::Sub(hn::BitCast(di, shifted), hn::Set(di, 0x43000000));
  VI code = hn::IfThenElse(hn::Lt(clamped, hn::Set(di, 0x38800000)), small, normal);
  code = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7f800000)), hn::Set(di, 0x7f), code);
  return hn::Or(code, sign);
}

HWY_INLINE VF DecodeFp8E5M2(VI code) {
  const Float df;
  const Word di;
  const VI magnitude = hn::And(code, hn::Set(di, 0x7f));
  const VI sign = hn::ShiftLeft<24>(hn::And(code, hn::Set(di, 0x80)));
  const VI shifted = hn::ShiftLeft<21>(magnitude);
  const VI normal = hn::Add(shifted, hn::Set(di, 112 << 23));
  const VF one_up = hn::BitCast(df, hn::Or(shifted, hn::Set(di, 113 << 23)));
  const VI small = hn::BitCast(di, hn::Sub(one_up, hn::Set(df, 6.103515625e-05f)));
  VI value = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 4)), small, normal);
  value = hn::IfThenElse(hn::Eq(magnitude, hn::Set(di, 0x7c)), hn::Set(di, 0x7f800000), value);
  value = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7c)), hn::Set(di, 0x7fc00000), value);
  return hn::BitCast(df, hn::Or(value, sign));
}

HWY_INLINE VI EncodeFp4(VF x) {
  const Float df;
  const Word di;
  const VI sign =
      hn::And(hn::VecFromMask(di, hn::RebindMask(di, hn::Lt(x, hn::Zero(df)))), hn::Set(di, 8));
  const VI magnitude = hn::And(hn::BitCast(di, x), hn::Set(di, 0x7fffffff));
  const VI clamped = hn::Min(magnitude, hn::Set(di, 0x40c00000));
  const VI normal = hn::Sub(hn::ShiftRight<22>(RoundBits<22>(clamped)), hn::Set(di, 126 << 1));
  const VF shifted = hn::Add(hn::BitCast(df, clamped), hn::Set(df, 4194304.0f));
  const VI small = hn::Sub(hn::BitCast(di, shifted), hn::Set(di, 0x4a800000));
  const VI code = hn::IfThenElse(hn::Lt(clamped, hn::Set(di, 0x3f800000)), small, normal);
  return hn::Or(code, sign);
}

// The value at index 0..15 of a table: in registers where a vector holds 8 or 16 floats.
class Table16 {
 public:
  explicit Table16(const float* values) : values_(values) {}
  HWY_INLINE VF At(VI index) const {
    const Float df;
    if constexpr (hn::MaxLanes(Float()) == 16) {
      return hn::TableLookupLanes(hn::LoadU(df, values_), hn::IndicesFromVec(df, index));
    } else if constexpr (hn::MaxLanes(Float()) == 8) {
      const Word di;
      const auto low = hn::IndicesFromVec(df, hn::And(index, hn::Set(di, 7)));
      const auto upper = hn::RebindMask(df, hn::Gt(index, hn::Set(di, 7)));
      return hn::IfThenElse(upper, hn::TableLookupLanes(hn::LoadU(df, values_ + 8), low),
                            hn::TableLookupLanes(hn::LoadU(df, values_), low));
    } else {
      return hn::GatherIndex(df, values_, index);
    }
  }

 private:
  const float* values_;
};

// Coders: what NumberCodec's kinds do, on vectors. The division is IEEE's, as bit equality needs
// it.
class IntCoder {
 public:
  explicit IntCoder(const NumberCodec& codec) : lo_(codec.grid.lo), hi_(codec.grid.hi) {}
  static constexpr bool kSigned = true;
  HWY_INLINE VI Encode(VF w, VF scale, VF zero) const {
    const Float df;
    const VF scaled = hn::Add(hn::Div(w, scale), zero);
    return hn::NearestInt(hn::Min(hn::Max(scaled, hn::Set(df, lo_)), hn::Set(df, hi_)));
  }
  HWY_INLINE VF Decode(VI code, VF scale, VF zero) const {
    return hn::Mul(hn::Sub(hn::ConvertTo(Float(), code), zero), scale);
  }

 private:
  float lo_, hi_;
};

class MinimumCoder {
 public:
  explicit MinimumCoder(const NumberCodec& codec) : lo_(codec.grid.lo), hi_(codec.grid.hi) {}
  static constexpr bool kSigned = true;
  HWY_INLINE VI Encode(VF w, VF scale, VF minimum) const {
    const Float df;
    const VF scaled = hn::Add(hn::Div(hn::Sub(w, minimum), scale), hn::Set(df, lo_));
    return hn::NearestInt(hn::Min(hn::Max(scaled, hn::Set(df, lo_)), hn::Set(df, hi_)));
  }
  HWY_INLINE VF Decode(VI code, VF scale, VF minimum) const {
    const Float df;
    const VF steps = hn::Sub(hn::ConvertTo(df, code), hn::Set(df, lo_));
    return hn::Add(hn::Mul(steps, scale), minimum);
  }

 private:
  float lo_, hi_;
};

class E4M3Coder {
 public:
  explicit E4M3Coder(const NumberCodec&) {}
  static constexpr bool kSigned = false;
  HWY_INLINE VI Encode(VF w, VF scale, VF) const {
    return EncodeFp8(hn::Add(hn::Div(w, scale), hn::Zero(Float())));
  }
  HWY_INLINE VF Decode(VI code, VF scale, VF) const { return hn::Mul(DecodeFp8(code), scale); }
};

class E5M2Coder {
 public:
  explicit E5M2Coder(const NumberCodec&) {}
  static constexpr bool kSigned = false;
  HWY_INLINE VI Encode(VF w, VF scale, VF) const {
    return EncodeFp8E5M2(hn::Add(hn::Div(w, scale), hn::Zero(Float())));
  }
  HWY_INLINE VF Decode(VI code, VF scale, VF) const { return hn::Mul(DecodeFp8E5M2(code), scale); }
};

class Fp4Coder {
 public:
  explicit Fp4Coder(const NumberCodec&) : values_(kFp4Values) {}
  static constexpr bool kSigned = false;
  HWY_INLINE VI Encode(VF w, VF scale, VF) const { return EncodeFp4(hn::Div(w, scale)); }
  HWY_INLINE VF Decode(VI code, VF scale, VF) const {
    return hn::Mul(values_.At(hn::And(code, hn::Set(Word(), 15))), scale);
  }

 private:
  static constexpr float kFp4Values[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                           -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
  Table16 values_;
};

// At most 16 values, padded to 16 by repeating the last; midpoints padded to 16 by infinity.
class SmallCodebookCoder {
 public:
  explicit SmallCodebookCoder(const NumberCodec& codec)
      : middles_(codec.middles), count_(codec.count), values_(codec.values) {}
  static constexpr bool kSigned = false;
  // Number of midpoints below x, by halving.
  HWY_INLINE VI Encode(VF w, VF scale, VF) const {
    const Word di;
    const VF x = hn::Div(w, scale);
    VI code = hn::Zero(di);
    for (int step = 8; step > 0; step /= 2) {
      const VF middle = middles_.At(hn::Add(code, hn::Set(di, step - 1)));
      const auto above = hn::RebindMask(di, hn::Gt(x, middle));
      code = hn::Add(code, hn::IfThenElseZero(above, hn::Set(di, step)));
    }
    return code;
  }
  HWY_INLINE VF Decode(VI code, VF scale, VF) const {
    return hn::Mul(values_.At(hn::Min(code, hn::Set(Word(), count_ - 1))), scale);
  }

 private:
  Table16 middles_;
  int count_;
  Table16 values_;
};

class CodebookCoder {
 public:
  explicit CodebookCoder(const NumberCodec& codec)
      : middles_(codec.middles), values_(codec.values), count_(codec.count) {
    while (first_step_ * 2 < count_) first_step_ *= 2;
  }
  static constexpr bool kSigned = false;
  // Number of midpoints below x, by halving.
  HWY_INLINE VI Encode(VF w, VF scale, VF) const {
    const Float df;
    const Word di;
    const VF x = hn::Div(w, scale);
    const VI last = hn::Set(di, count_ - 2), end = hn::Set(di, count_ - 1);
    VI code = hn::Zero(di);
    for (int step = first_step_; step > 0; step /= 2) {
      const VI at = hn::Add(code, hn::Set(di, step - 1));
      const VF middle = hn::GatherIndex(df, middles_, hn::Min(at, last));
      const auto above = hn::And(hn::RebindMask(di, hn::Gt(x, middle)), hn::Lt(at, end));
      code = hn::Add(code, hn::IfThenElseZero(above, hn::Set(di, step)));
    }
    return code;
  }
  HWY_INLINE VF Decode(VI code, VF scale, VF) const {
    const VI at = hn::Min(code, hn::Set(Word(), count_ - 1));
    return hn::Mul(hn::GatherIndex(Float(), values_, at), scale);
  }

 private:
  const float* middles_;
  const float* values_;
  int count_, first_step_ = 1;
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#endif  // toggling guard
