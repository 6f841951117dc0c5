// Philox4x32-10, as many counters at a time as a vector has 32-bit lanes.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/simd_families.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_random.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Float = hn::ScalableTag<float>;
using Word = hn::RebindToUnsigned<Float>;
using Integer = hn::RebindToSigned<Float>;
using VF = hn::Vec<Float>;
using VW = hn::Vec<Word>;

constexpr int64_t kPiece = 1024;  // words on the stack at a time; a multiple of every vector's

#if HWY_TARGET == HWY_SCALAR
void WordsRun(int64_t n, const RandomKey& key, uint64_t at, uint32_t* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = RandomWord(key, at + i);
}
#else
using Wide = hn::RepartitionToWide<Word>;

struct Product {
  VW high, low;
};

HWY_INLINE Product MultiplyWide(VW a, VW factor) {
  const Word dw;
  const Wide dd;
  const auto even = hn::MulEven(a, factor);
  const auto odd = hn::MulEven(hn::BitCast(dw, hn::ShiftRight<32>(hn::BitCast(dd, a))), factor);
  return {hn::OddEven(hn::BitCast(dw, odd), hn::BitCast(dw, hn::ShiftRight<32>(even))),
          hn::OddEven(hn::BitCast(dw, hn::ShiftLeft<32>(odd)), hn::BitCast(dw, even))};
}

// Blocks [block, block + lanes) to y[4 * lanes]; their numbers have the same high half.
HWY_INLINE void PhiloxVectors(const RandomKey& key, uint64_t block, uint32_t* y) {
  const Word dw;
  VW c0 = hn::Iota(dw, static_cast<uint32_t>(block));
  VW c1 = hn::Set(dw, static_cast<uint32_t>(block >> 32));
  VW c2 = hn::Set(dw, static_cast<uint32_t>(key.tensor));
  VW c3 = hn::Set(dw, static_cast<uint32_t>(key.tensor >> 32));
  VW key0 = hn::Set(dw, static_cast<uint32_t>(key.seed));
  VW key1 = hn::Set(dw, static_cast<uint32_t>(key.seed >> 32));
  const VW factor0 = hn::Set(dw, 0xD2511F53u), factor1 = hn::Set(dw, 0xCD9E8D57u);
  for (int round = 0; round < 10; ++round) {
    const Product p0 = MultiplyWide(c0, factor0), p1 = MultiplyWide(c2, factor1);
    c0 = hn::Xor(hn::Xor(p1.high, c1), key0);
    c1 = p1.low;
    c2 = hn::Xor(hn::Xor(p0.high, c3), key1);
    c3 = p0.low;
    key0 = hn::Add(key0, hn::Set(dw, 0x9E3779B9u));
    key1 = hn::Add(key1, hn::Set(dw, 0xBB67AE85u));
  }
  hn::StoreInterleaved4(c0, c1, c2, c3, dw, y);
}

void WordsRun(int64_t n, const RandomKey& key, uint64_t at, uint32_t* y) {
  const int64_t lanes = hn::Lanes(Word());
  int64_t i = 0;
  for (; i < n && (key.first + at + i) % 4 != 0; ++i) y[i] = RandomWord(key, at + i);
  while (i + 4 * lanes <= n) {
    const uint64_t block = (key.first + at + i) / 4;
    if (static_cast<uint32_t>(block) > 0xffffffffu - lanes) {  // the low half is about to overflow
      for (int64_t end = i + 4 * lanes; i < end; ++i) y[i] = RandomWord(key, at + i);
    } else {
      PhiloxVectors(key, block, y + i);
      i += 4 * lanes;
    }
  }
  for (; i < n; ++i) y[i] = RandomWord(key, at + i);
}

#endif  // HWY_TARGET == HWY_SCALAR

HWY_INLINE VF Unit(VW words) {
  const Float df;
  const Integer di;
  return hn::Mul(hn::ConvertTo(df, hn::BitCast(di, hn::ShiftRight<8>(words))),
                 hn::Set(df, 0x1p-24f));
}

// Calls body(first, count, words) for pieces of [0, n); `words` beyond count are any numbers, so that
// whole vectors can be worked on.
template <typename Body>
HWY_INLINE void ForPieces(int64_t n, const RandomKey& key, uint64_t at, const Body& body) {
  HWY_ALIGN uint32_t words[kPiece];
  for (int64_t i = 0; i < n; i += kPiece) {
    const int64_t count = std::min(kPiece, n - i);
    const int64_t lanes = hn::Lanes(Word()), padded = (count + 2 * lanes - 1) / (2 * lanes) * (2 * lanes);
    WordsRun(padded, key, at + i, words);
    body(i, count, words);
  }
}

void UniformRun(int64_t n, const RandomKey& key, uint64_t at, float* y) {
  ForPieces(n, key, at, [&](int64_t first, int64_t count, const uint32_t* words) {
    const int64_t lanes = hn::Lanes(Word());
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      hn::StoreU(Unit(hn::Load(Word(), words + i)), Float(), y + first + i);
    }
    for (; i < count; ++i) y[first + i] = UnitOf(words[i]);
  });
}

void NormalRun(int64_t n, const RandomKey& key, uint64_t at, float* y) {
  ForPieces(n, key, at, [&](int64_t first, int64_t count, const uint32_t* words) {
    const Float df;
    const Word dw;
    const Integer di;
    const int64_t lanes = hn::Lanes(dw);
    HWY_ALIGN float values[kPiece];
    for (int64_t i = 0; i < count; i += 2 * lanes) {
      VW first_words, second_words;
      hn::LoadInterleaved2(dw, words + i, first_words, second_words);
      // Odd multiples of 2^-24.
      const VW odd = hn::Or(hn::ShiftLeft<1>(hn::ShiftRight<9>(first_words)), hn::Set(dw, 1u));
      const VF u = hn::Mul(hn::ConvertTo(df, hn::BitCast(di, odd)), hn::Set(df, 0x1p-24f));
      const VF radius = hn::Sqrt(hn::Mul(hn::Set(df, -2.0f), hn::Log(df, u)));
      const VF angle = hn::Mul(Unit(second_words), hn::Set(df, 6.28318530718f));
      hn::StoreInterleaved2(hn::Mul(radius, hn::Cos(df, angle)),
                            hn::Mul(radius, hn::Sin(df, angle)), df, values + i);
    }
    std::copy_n(values, count, y + first);
  });
}

void StochasticBf16Run(int64_t n, const float* x, const RandomKey& key, uint64_t at, uint16_t* y) {
  ForPieces(n, key, at, [&](int64_t first, int64_t count, const uint32_t* words) {
    const Word dw;
    const Integer di;
    const hn::Rebind<uint16_t, Integer> dh;
    const int64_t lanes = hn::Lanes(dw);
    const VW exponent = hn::Set(dw, 0x7f800000u);
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      const VW bits = hn::BitCast(dw, hn::LoadU(Float(), x + first + i));
      const auto special = hn::Eq(hn::And(bits, exponent), exponent);
      const auto nan = hn::Gt(hn::And(bits, hn::Set(dw, 0x7fffffffu)), exponent);
      const VW kept = hn::Or(hn::ShiftRight<16>(bits),
                             hn::IfThenElseZero(nan, hn::Set(dw, 0x40u)));
      const VW rounded =
          hn::ShiftRight<16>(hn::Add(bits, hn::ShiftRight<16>(hn::Load(dw, words + i))));
      const VW result = hn::IfThenElse(special, kept, rounded);
      hn::StoreU(hn::DemoteTo(dh, hn::BitCast(di, result)), dh, y + first + i);
    }
    for (; i < count; ++i) y[first + i] = StochasticBf16Of(x[first + i], words[i]);
  });
}

void StochasticGridRun(int64_t n, const float* x, const StochasticGrid& grid, const RandomKey& key,
                       uint64_t at, int8_t* codes) {
  ForPieces(n, key, at, [&](int64_t first, int64_t count, const uint32_t* words) {
    const Float df;
    const Integer di;
    const hn::Rebind<int8_t, Integer> db;
    const int64_t lanes = hn::Lanes(df);
    const VF scale = hn::Set(df, grid.scale), zero = hn::Set(df, grid.zero);
    const VF low = hn::Set(df, static_cast<float>(grid.low)),
             high = hn::Set(df, static_cast<float>(grid.high));
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      const VF v = hn::Add(hn::Div(hn::LoadU(df, x + first + i), scale), zero);
      const VF whole = hn::Floor(v);
      const auto up = hn::Lt(Unit(hn::Load(Word(), words + i)), hn::Sub(v, whole));
      const VF code = hn::Add(whole, hn::IfThenElseZero(up, hn::Set(df, 1.0f)));
      const VF capped = hn::IfThenElse(hn::Ge(v, high), high, code);
      const VF kept = hn::IfThenElse(hn::Ge(v, low), capped, low);
      hn::StoreU(hn::DemoteTo(db, hn::ConvertTo(di, kept)), db, codes + first + i);
    }
    for (; i < count; ++i) {
      codes[first + i] =
          StochasticCode(x[first + i], grid.scale, grid.zero, grid.low, grid.high, words[i]);
    }
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(WordsRun);
HWY_EXPORT(UniformRun);
HWY_EXPORT(NormalRun);
HWY_EXPORT(StochasticBf16Run);
HWY_EXPORT(StochasticGridRun);

void WordsRun(int64_t n, const RandomKey& key, uint64_t at, uint32_t* y) {
  HWY_DYNAMIC_DISPATCH(WordsRun)(n, key, at, y);
}
void UniformRun(int64_t n, const RandomKey& key, uint64_t at, float* y) {
  HWY_DYNAMIC_DISPATCH(UniformRun)(n, key, at, y);
}
void NormalRun(int64_t n, const RandomKey& key, uint64_t at, float* y) {
  HWY_DYNAMIC_DISPATCH(NormalRun)(n, key, at, y);
}
void StochasticBf16Run(int64_t n, const float* x, const RandomKey& key, uint64_t at, uint16_t* y) {
  HWY_DYNAMIC_DISPATCH(StochasticBf16Run)(n, x, key, at, y);
}
void StochasticGridRun(int64_t n, const float* x, const StochasticGrid& grid, const RandomKey& key,
                       uint64_t at, int8_t* codes) {
  HWY_DYNAMIC_DISPATCH(StochasticGridRun)(n, x, grid, key, at, codes);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
