// Properties of the number formats themselves.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/numeric/formats.h"
#include "kernels/numeric/fp8_e4m3.h"
#include "kernels/numeric/half.h"
#include "kernels/numeric/int_quant.h"

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

TEST(FormatsTest, TableNamesEveryFormatOnce) {
  for (const FormatRow& row : Formats()) {
    EXPECT_EQ(FindFormat(row.id), &row);
    EXPECT_FALSE(row.granularities.empty());
    EXPECT_EQ(row.max_value, row.kind == FormatKind::kInteger ? IntGridOf(row.bits).hi : kFp8Max);
  }
  EXPECT_EQ(FindFormat("int9"), nullptr);
  EXPECT_EQ(FindFormat(""), nullptr);
}

}  // namespace
}  // namespace swage
