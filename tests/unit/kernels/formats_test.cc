// Properties of the number formats themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/numeric/formats.h"

namespace swage {
namespace {

// What the specification says of code c, by ldexp.
double SpecifiedFp8(int c) {
  const int exponent = (c >> 3) & 0xf, mantissa = c & 7;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return c & 0x80 ? -magnitude : magnitude;
}

TEST(Fp8Test, DecodesEveryCodeAsSpecified) {
  for (int c = 0; c < 256; ++c) {
    const float value = DecodeFp8(static_cast<uint8_t>(c));
    if ((c & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(value));
    } else {
      EXPECT_EQ(value, SpecifiedFp8(c)) << c;
      EXPECT_EQ(std::signbit(value), c >= 0x80) << c;
    }
  }
}

TEST(Fp8Test, EncodesWhatItDecodes) {
  for (int c = 0; c < 256; ++c) EXPECT_EQ(EncodeFp8(DecodeFp8(static_cast<uint8_t>(c))), c);
}

TEST(Fp8Test, RoundsMidpointsToEvenAndNeighboursOfMidpointsToTheirSide) {
  for (int c = 0; c < 0x7e; ++c) {
    const float middle = static_cast<float>((SpecifiedFp8(c) + SpecifiedFp8(c + 1)) / 2);
    const int even = c % 2 == 0 ? c : c + 1;
    EXPECT_EQ(EncodeFp8(middle), even) << c;
    EXPECT_EQ(EncodeFp8(std::nextafter(middle, 0.0f)), c) << c;
    EXPECT_EQ(EncodeFp8(std::nextafter(middle, 1e9f)), c + 1) << c;
    EXPECT_EQ(EncodeFp8(-middle), even | 0x80) << c;
  }
}

TEST(Fp8Test, SaturatesAndKeepsNan) {
  for (const float big : {448.0f, 449.0f, 464.0f, 480.0f, 1e30f, INFINITY}) {
    EXPECT_EQ(EncodeFp8(big), 0x7e);
    EXPECT_EQ(EncodeFp8(-big), 0xfe);
  }
  EXPECT_EQ(EncodeFp8(NAN) & 0x7f, 0x7f);
  EXPECT_EQ(EncodeFp8(-0.0f), 0x80);
  EXPECT_EQ(EncodeFp8(1e-45f), 0);
}

TEST(Fp8Test, IsMonotone) {
  int last = 0;
  for (uint32_t bits = 0; bits < 0x7f800000u; bits += 0x1001) {
    const int code = EncodeFp8(FloatOf(bits));
    ASSERT_GE(code, last);
    last = code;
  }
  EXPECT_EQ(last, 0x7e);
}

TEST(HalfTest, EveryFiniteHalfSurvivesTheWayThroughF32) {
  for (uint32_t i = 0; i < (1u << 16); ++i) {
    const auto half = static_cast<uint16_t>(i);
    if ((half & 0x7c00u) != 0x7c00u || (half & 0x3ffu) == 0) {
      EXPECT_EQ(F16Of(FloatOfF16(half)), half);
    }
    if (!std::isnan(FloatOfBf16(half))) {
      EXPECT_EQ(Bf16Of(FloatOfBf16(half)), half);
    }
  }
  EXPECT_EQ(F16Of(65504.0f), 0x7bff);
  EXPECT_EQ(F16Of(65519.0f), 0x7bff);
  EXPECT_EQ(F16Of(65520.0f), 0x7c00);
  EXPECT_EQ(F16Of(std::ldexp(1.0f, -25)), 0);  // a tie with zero, which is even
  EXPECT_EQ(F16Of(std::ldexp(1.5f, -24)), 2);  // a tie, to even
  EXPECT_EQ(Bf16Of(1.00390625f), 0x3f80);      // a tie, to even
  EXPECT_TRUE(std::isnan(FloatOfF16(F16Of(NAN))));
  EXPECT_TRUE(std::isnan(FloatOfBf16(Bf16Of(FloatOf(0x7f800001u)))));  // must not round to infinity
}

TEST(IntQuantTest, CodesSurviveDecodingAndEncoding) {
  for (int bits = 2; bits <= 8; ++bits) {
    const IntGrid grid = IntGridOf(bits);
    for (const float scale : {1.0f, 0.1f, 3e-30f, 7e20f}) {
      for (float zero = grid.lo; zero <= grid.hi; zero += bits > 4 ? 13 : 1) {
        for (float code = grid.lo; code <= grid.hi; ++code) {
          const auto c = static_cast<int8_t>(code);
          ASSERT_EQ(QuantizeInt(DequantizeInt(c, scale, zero), scale, zero, grid), c);
        }
      }
    }
  }
}

TEST(IntQuantTest, IsMonotoneSaturatingAndHalfToEven) {
  const IntGrid grid = IntGridOf(4);
  int last = -8;
  for (float w = -20; w < 20; w += 0.03125f) {
    const int code = QuantizeInt(w, 1.0f, 0.0f, grid);
    ASSERT_GE(code, last);
    last = code;
  }
  EXPECT_EQ(QuantizeInt(-1e30f, 1.0f, 0.0f, grid), -8);
  EXPECT_EQ(QuantizeInt(1e30f, 1.0f, 0.0f, grid), 7);
  EXPECT_EQ(QuantizeInt(0.5f, 1.0f, 0.0f, grid), 0);
  EXPECT_EQ(QuantizeInt(1.5f, 1.0f, 0.0f, grid), 2);
  EXPECT_EQ(QuantizeInt(-2.5f, 1.0f, 0.0f, grid), -2);
}

TEST(IntQuantTest, ErrorIsAtMostHalfAStep) {
  for (int bits = 2; bits <= 8; ++bits) {
    const IntGrid grid = IntGridOf(bits);
    const ScaleAndZero s = AsymmetricScale(-0.7f, 1.9f, grid);
    for (float w = -0.7f; w <= 1.9f; w += 0.001f) {
      const float back = DequantizeInt(QuantizeInt(w, s.scale, s.zero, grid), s.scale, s.zero);
      // The rounded zero point may push one end out of the grid by half a step more.
      ASSERT_LE(std::fabs(back - w), s.scale * 1.001f);
    }
  }
}

TEST(IntQuantTest, PackedStreamIsLittleEndianWithOffsetCodes) {
  const std::vector<int8_t> rising = {-8, -7, -6, -5, -4, -3, -2, -1}, zeros(8, 0);
  EXPECT_EQ(PackedWord(rising.data(), 8, 4, 0), 0x76543210u);
  EXPECT_EQ(PackedWord(zeros.data(), 8, 4, 0), 0x88888888u);
  // 3 bits: code 10 lies in bits 30..32, over two words.
  std::vector<int8_t> codes(11, -4);
  codes[10] = 3;
  EXPECT_EQ(PackedWords(11, 3), 2);
  EXPECT_EQ(PackedWord(codes.data(), 11, 3, 0), 0xc0000000u);
  EXPECT_EQ(PackedWord(codes.data(), 11, 3, 1), 0x1u);
}

// The index arithmetic that one CUDA thread runs: every bit of the stream from exactly one code,
// nothing read outside.
TEST(IntQuantTest, WordsAndCodesAddressTheSameBits) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (int64_t n = 1; n <= 70; ++n) {
      for (int64_t i = 0; i < n; ++i) {
        std::vector<int8_t> codes(n, static_cast<int8_t>(-(1 << (bits - 1))));
        codes[i] = static_cast<int8_t>((1 << (bits - 1)) - 1);  // all ones, the others all zeros
        std::vector<uint32_t> words(PackedWords(n, bits));
        int ones = 0;
        for (size_t word = 0; word < words.size(); ++word) {
          words[word] = PackedWord(codes.data(), n, bits, static_cast<int64_t>(word));
          ones += __builtin_popcount(words[word]);
        }
        ASSERT_EQ(ones, bits);
        for (int64_t j = 0; j < n; ++j) ASSERT_EQ(UnpackedCode(words.data(), bits, j), codes[j]);
      }
    }
  }
}

// Values by code, as the specifications give them.
struct SmallFloat {
  const char* name;
  int codes;  // non-negative ones, finite
  int exponent_bits, mantissa_bits, bias;
  uint8_t (*encode)(float);
  float (*decode)(uint8_t);
};

const SmallFloat kSmallFloats[] = {{"fp8_e5m2", 0x7c, 5, 2, 15, EncodeFp8E5M2, DecodeFp8E5M2},
                                   {"fp4_e2m1", 8, 2, 1, 1, EncodeFp4, DecodeFp4},
                                   {"ue5m3", 255, 5, 3, 15, UE5M3Byte, UE5M3Value},
                                   {"fp8_e4m3", 0x7f, 4, 3, 7, EncodeFp8, DecodeFp8}};

double Specified(const SmallFloat& f, int code) {
  const int mantissa = code & ((1 << f.mantissa_bits) - 1), exponent = code >> f.mantissa_bits;
  return exponent == 0
             ? std::ldexp(mantissa, 1 - f.bias - f.mantissa_bits)
             : std::ldexp((1 << f.mantissa_bits) + mantissa, exponent - f.bias - f.mantissa_bits);
}

TEST(SmallFloatTest, CodesAreAsSpecifiedAndRoundingIsToTheNearestTiesToEven) {
  for (const SmallFloat& f : kSmallFloats) {
    SCOPED_TRACE(f.name);
    for (int c = 0; c < f.codes; ++c) {
      ASSERT_EQ(f.decode(static_cast<uint8_t>(c)), Specified(f, c)) << c;
      ASSERT_EQ(f.encode(static_cast<float>(Specified(f, c))), c);
      if (c + 1 == f.codes) break;
      const auto middle = static_cast<float>((Specified(f, c) + Specified(f, c + 1)) / 2);
      ASSERT_EQ(f.encode(middle), c % 2 == 0 ? c : c + 1) << c;
      ASSERT_EQ(f.encode(std::nextafter(middle, 0.0f)), c) << c;
      ASSERT_EQ(f.encode(std::nextafter(middle, 1e9f)), c + 1) << c;
    }
    const auto largest = static_cast<float>(Specified(f, f.codes - 1));
    for (const float big : {largest * 1.01f, largest * 4, 3e38f, INFINITY}) {
      EXPECT_EQ(f.encode(big), f.codes - 1);
    }
    int last = 0;
    for (uint32_t bits = 0; bits < 0x7f800000u; bits += 0x3001) {
      const int code = f.encode(FloatOf(bits));
      ASSERT_GE(code, last);
      last = code;
    }
  }
}

TEST(SmallFloatTest, SignsAndNan) {
  EXPECT_EQ(EncodeFp8E5M2(-0.0f), 0x80);
  EXPECT_EQ(EncodeFp8E5M2(-INFINITY), 0xfb);  // the largest finite value
  EXPECT_EQ(EncodeFp8E5M2(NAN) & 0x7f, 0x7f);
  EXPECT_TRUE(std::isnan(DecodeFp8E5M2(0x7d)));
  EXPECT_EQ(DecodeFp8E5M2(0xfc), -INFINITY);
  EXPECT_EQ(EncodeFp4(-0.0f), 0);
  EXPECT_EQ(EncodeFp4(-1e-9f), 8);  // compressed-tensors keeps the sign of what rounds to zero
  EXPECT_EQ(EncodeFp4(-5.0f), 0xe);
  EXPECT_EQ(EncodeFp4(NAN) & 7, 7);
  EXPECT_EQ(EncodeFp4(-INFINITY), 0xf);
  for (int c = 0; c < 16; ++c) {
    EXPECT_EQ(std::signbit(DecodeFp4(static_cast<uint8_t>(c))), c >= 8);
    if (c != 8) {
      EXPECT_EQ(EncodeFp4(DecodeFp4(static_cast<uint8_t>(c))), c);
    }
  }
  EXPECT_EQ(UE5M3Byte(NAN), 0);
  EXPECT_EQ(UE5M3Byte(-1.0f), 0);
}

TEST(ScaleTypeTest, PowersFollowTheirRule) {
  const auto power = [](float absmax, PowerRule rule) { return E8M0Of(absmax, 6, 2, rule); };
  EXPECT_EQ(power(6.0f, PowerRule::kSnap), 127);
  EXPECT_EQ(power(6.99f, PowerRule::kSnap), 127);
  EXPECT_EQ(power(7.0f, PowerRule::kSnap), 128);
  EXPECT_EQ(power(7.99f, PowerRule::kFloor), 127);
  EXPECT_EQ(power(6.0f, PowerRule::kCeil), 127);
  EXPECT_EQ(power(std::nextafter(6.0f, 7.0f), PowerRule::kCeil), 128);
  EXPECT_EQ(E8M0Of(448.0f, 448, 8, PowerRule::kCeil), 127);
  EXPECT_EQ(E8M0Of(449.0f, 448, 8, PowerRule::kCeil), 128);
  EXPECT_EQ(power(0.0f, PowerRule::kSnap), 0);
  EXPECT_EQ(power(1e-41f, PowerRule::kCeil), 0);
  EXPECT_LE(power(3.4e38f, PowerRule::kSnap), 254);
  for (int byte = 0; byte < 255; ++byte) {
    const float value = E8M0Value(static_cast<uint8_t>(byte));
    EXPECT_EQ(value, std::ldexp(1.0f, byte - 127));
    EXPECT_EQ(E8M0Byte(value), byte);
  }
}

TEST(ScaleTypeTest, NothingIsDividedByZeroOrInfinity) {
  for (const ScaleType type :
       {ScaleType::kF32, ScaleType::kF16, ScaleType::kBF16, ScaleType::kE4M3, ScaleType::kUE5M3}) {
    for (const float scale : {0.0f, 1e-45f, 1e-30f, 1.0f, 70000.0f, 3.4e38f}) {
      const float rounded = RoundScale(scale, type);
      EXPECT_GT(rounded, 0.0f);
      EXPECT_TRUE(std::isfinite(rounded));
      EXPECT_EQ(RoundScale(rounded, type), rounded);
    }
  }
  EXPECT_EQ(GlobalScale(2.0f, 6, 448), 1344.0f);
  EXPECT_EQ(GlobalScale(0.0f, 6, 448), 1.0f);
  EXPECT_EQ(GlobalScale(1e-37f, 6, 448), 1.0f);  // the quotient overflows
}

TEST(CodebookTest, TheNearestValueWinsAndMiddlesGoDown) {
  const float values[] = {-1.0f, -0.25f, 0.0f, 0.5f, 2.0f};
  for (float x = -1.5f; x < 2.5f; x += 0.01f) {
    int nearest = 0;
    for (int i = 1; i < 5; ++i) {
      if (std::fabs(values[i] - x) < std::fabs(values[nearest] - x)) nearest = i;
    }
    EXPECT_EQ(NearestCodeword(values, 5, x), nearest) << x;
  }
  EXPECT_EQ(NearestCodeword(values, 5, 0.25f), 2);
  EXPECT_EQ(NearestCodeword(values, 5, INFINITY), 4);
  EXPECT_EQ(NearestCodeword(values, 5, NAN), 0);
  for (int i = 0; i < kNf4Values; ++i) {
    EXPECT_EQ(NearestNf4(Nf4Value(i)), i);
    EXPECT_LT(i == 0 ? -2.0f : Nf4Value(i - 1), Nf4Value(i));
  }
}

TEST(PackStreamTest, LayoutsAreAsDocumented) {
  const std::vector<int8_t> nibbles = {1, 15};  // 0.5 and -6: the golden byte of nvfp4
  EXPECT_EQ(PackedByte(CodePacking::kBits, 4, nibbles.data(), 2, 0), 0xf1);
  const std::vector<int8_t> trits = {1, -1, 0, 1, -1, 0};
  EXPECT_EQ(PackedRowBytes(CodePacking::kTrits, 2, 6), 2);
  EXPECT_EQ(PackedByte(CodePacking::kTrits, 2, trits.data(), 6, 0), 2 + 0 + 9 + 2 * 27 + 0);
  EXPECT_EQ(PackedByte(CodePacking::kTrits, 2, trits.data(), 6, 1), 1);
  for (int byte = 243; byte < 256; ++byte) {  // bytes that nobody writes still give codes
    const auto b = static_cast<uint8_t>(byte);
    for (int i = 0; i < 5; ++i) EXPECT_LE(std::abs(CodeOfStream(CodePacking::kTrits, 2, &b, i)), 1);
  }
}

// Of every format: decoding is monotone in the weight, what is decoded encodes to itself, and the
// error is at most half of the gap between neighbours.
TEST(NumberCodecTest, EveryFormatRoundsToItsNearestValue) {
  for (const FormatRow& row : Formats()) {
    if (row.max_value == 0) continue;
    SCOPED_TRACE(std::string(row.id));
    NumberCodec codec;
    codec.kind = row.kind;
    codec.bits = row.bits;
    codec.count = kNf4Values;
    if (row.is_integer()) codec.grid = GridOf(row);
    const float zero = row.is_integer() && row.bits == 1 ? -0.5f : 0.0f;
    std::vector<float> values = ValuesOf(row);
    std::sort(values.begin(), values.end());
    for (const float scale : {1.0f, 0.0123f, 3e10f}) {
      float last = -INFINITY;
      for (int i = -4000; i <= 4000; ++i) {
        const float w = static_cast<float>(i) / 4000 * 1.1f * row.max_value * scale;
        const float got = DecodeNumber(codec, EncodeNumber(codec, w, scale, zero), scale, zero);
        ASSERT_GE(got, last);
        last = got;
        ASSERT_EQ(DecodeNumber(codec, EncodeNumber(codec, got, scale, zero), scale, zero), got);
        float best = INFINITY;
        for (const float v : values) best = std::min(best, std::fabs(v * scale - w));
        ASSERT_LE(std::fabs(got - w), best * 1.0001f + 1e-6f * scale);
      }
    }
  }
}

TEST(FormatsTest, TableNamesEveryFormatOnce) {
  for (const FormatRow& row : Formats()) {
    EXPECT_EQ(FindFormat(row.id), &row);
    EXPECT_FALSE(row.granularities.empty());
    const std::vector<float> values = ValuesOf(row);
    if (row.max_value == 0) continue;  // the caller's codebook
    ASSERT_FALSE(values.empty()) << row.id;
    EXPECT_LE(values.size(), size_t{1} << row.bits) << row.id;
    // Integers: the grid reaches half a step beyond what absmax becomes, on one side.
    const float largest = *std::max_element(values.begin(), values.end());
    EXPECT_LE(largest, row.max_value) << row.id;
    EXPECT_GE(largest, row.max_value - (row.is_integer() ? 0.5f : 0.0f)) << row.id;
    EXPECT_GE(static_cast<double>(row.bits), row.code_bits) << row.id;
  }
  EXPECT_EQ(FindFormat("int9"), nullptr);
  EXPECT_EQ(FindFormat(""), nullptr);
}

}  // namespace
}  // namespace swage
