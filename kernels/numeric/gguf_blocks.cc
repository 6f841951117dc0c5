#include "kernels/numeric/gguf_blocks.h"

#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "base/status.h"
#include "kernels/numeric/half.h"

namespace swage {
namespace {

// A block's bytes.
class Block {
 public:
  explicit Block(const char* bytes) : bytes_(bytes) {}
  uint32_t u8(int at) const { return static_cast<uint8_t>(bytes_[at]); }
  float i8(int at) const { return static_cast<float>(static_cast<int8_t>(bytes_[at])); }
  uint32_t u16(int at) const { return u8(at) | u8(at + 1) << 8; }
  uint32_t u32(int at) const { return u16(at) | u16(at + 2) << 16; }
  float f16(int at) const { return FloatOfF16(static_cast<uint16_t>(u16(at))); }
  float f32(int at) const { return FloatOf(u32(at)); }
  // Element j of 32: the low nibbles of 16 bytes, then the high ones.
  int nibble32(int at, int j) const {
    return static_cast<int>(j < 16 ? u8(at + j) & 15 : u8(at + j - 16) >> 4);
  }

 private:
  const char* bytes_;
};

constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};
constexpr int8_t kFp4Doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void Q4_0(Block b, float* y) {
  const float d = b.f16(0);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(b.nibble32(2, j) - 8);
}

void Q4_1(Block b, float* y) {
  const float d = b.f16(0), m = b.f16(2);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(b.nibble32(4, j)) + m;
}

int FiveBits(const Block& b, int high, int low, int j) {
  return b.nibble32(low, j) | static_cast<int>(b.u32(high) >> j & 1) << 4;
}

void Q5_0(Block b, float* y) {
  const float d = b.f16(0);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(FiveBits(b, 2, 6, j) - 16);
}

void Q5_1(Block b, float* y) {
  const float d = b.f16(0), m = b.f16(2);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(FiveBits(b, 4, 8, j)) + m;
}

void Q8_0(Block b, float* y) {
  const float d = b.f16(0);
  for (int j = 0; j < 32; ++j) y[j] = b.i8(2 + j) * d;
}

void Q8_K(Block b, float* y) {
  const float d = b.f32(0);
  for (int j = 0; j < 256; ++j) y[j] = d * b.i8(4 + j);
}

// Element j of 256, two bits each: four groups of 32 in 32 bytes.
int TwoBits(const Block& b, int at, int j) {
  return static_cast<int>(b.u8(at + j / 128 * 32 + j % 32) >> (j % 128 / 32 * 2) & 3);
}

void Q2_K(Block b, float* y) {
  const float d = b.f16(80), least = b.f16(82);
  for (int j = 0; j < 256; ++j) {
    const uint32_t scale = b.u8(j / 16);
    y[j] = d * static_cast<float>(scale & 15) * static_cast<float>(TwoBits(b, 16, j)) -
           least * static_cast<float>(scale >> 4);
  }
}

void Q3_K(Block b, float* y) {
  const float d = b.f16(108);
  for (int j = 0; j < 256; ++j) {
    const int s = j / 16;  // the scale's low four bits, then its high two
    const int low = static_cast<int>(s < 8 ? b.u8(96 + s) & 15 : b.u8(96 + s - 8) >> 4);
    const int high = static_cast<int>(b.u8(104 + s % 4) >> (s / 4 * 2) & 3);
    const bool no_offset = (b.u8(j % 32) >> (j / 32) & 1) != 0;
    const int q = TwoBits(b, 32, j) - (no_offset ? 0 : 4);
    y[j] = d * static_cast<float>((low | high << 4) - 32) * static_cast<float>(q);
  }
}

// Scale and minimum of the 32 elements `s` of 256, six bits each.
struct ScaleMin {
  float scale, least;
};
ScaleMin ScaleMinAt(const Block& b, int at, int s) {
  if (s < 4)
    return {static_cast<float>(b.u8(at + s) & 63), static_cast<float>(b.u8(at + s + 4) & 63)};
  const uint32_t both = b.u8(at + s + 4);
  return {static_cast<float>((both & 15) | b.u8(at + s - 4) >> 6 << 4),
          static_cast<float>(both >> 4 | b.u8(at + s) >> 6 << 4)};
}

// Element j of 256, four bits each: per 64 elements 32 bytes, low nibbles first.
int FourBits(const Block& b, int at, int j) {
  const uint32_t byte = b.u8(at + j / 64 * 32 + j % 32);
  return static_cast<int>(j % 64 < 32 ? byte & 15 : byte >> 4);
}

void Q4_K(Block b, float* y) {
  const float d = b.f16(0), least = b.f16(2);
  for (int s = 0; s < 8; ++s) {
    const ScaleMin m = ScaleMinAt(b, 4, s);
    const float scale = d * m.scale, offset = least * m.least;
    for (int j = s * 32; j < s * 32 + 32; ++j)
      y[j] = scale * static_cast<float>(FourBits(b, 16, j)) - offset;
  }
}

void Q5_K(Block b, float* y) {
  const float d = b.f16(0), least = b.f16(2);
  for (int s = 0; s < 8; ++s) {
    const ScaleMin m = ScaleMinAt(b, 4, s);
    const float scale = d * m.scale, offset = least * m.least;
    for (int j = s * 32; j < s * 32 + 32; ++j) {
      const int high = static_cast<int>(b.u8(16 + j % 32) >> s & 1);
      y[j] = scale * static_cast<float>(FourBits(b, 48, j) | high << 4) - offset;
    }
  }
}

void Q6_K(Block b, float* y) {
  const float d = b.f16(208);
  for (int j = 0; j < 256; ++j) {
    const int in = j % 128, half = j / 128;
    const uint32_t low = b.u8(half * 64 + in % 64);
    const uint32_t four = in < 64 ? low & 15 : low >> 4;
    const uint32_t two = b.u8(128 + half * 32 + in % 32) >> (in / 32 * 2) & 3;
    y[j] = d * b.i8(192 + j / 16) * static_cast<float>(static_cast<int>(four | two << 4) - 32);
  }
}

void TQ1_0(Block b, float* y) {
  static constexpr uint8_t kPowers[5] = {1, 3, 9, 27, 81};
  const float d = b.f16(52);
  const auto trit = [&](int byte, int power) {
    const uint8_t shifted = static_cast<uint8_t>(b.u8(byte) * kPowers[power]);
    return d * static_cast<float>(static_cast<int>(shifted * 3u >> 8) - 1);
  };
  for (int j = 0; j < 160; ++j) y[j] = trit(j % 32, j / 32);
  for (int j = 0; j < 80; ++j) y[160 + j] = trit(32 + j % 16, j / 16);
  for (int j = 0; j < 16; ++j) y[240 + j] = trit(48 + j % 4, j / 4);
}

void TQ2_0(Block b, float* y) {
  const float d = b.f16(64);
  for (int j = 0; j < 256; ++j) y[j] = d * static_cast<float>(TwoBits(b, 0, j) - 1);
}

void Q1_0(Block b, float* y) {
  const float d = b.f16(0);
  for (int j = 0; j < 128; ++j) y[j] = (b.u8(2 + j / 8) >> (j % 8) & 1) != 0 ? d : -d;
}

void Q2_0(Block b, float* y) {
  const float d = b.f16(0);
  for (int j = 0; j < 64; ++j)
    y[j] = static_cast<float>(static_cast<int>(b.u8(2 + j / 4) >> (j % 4 * 2) & 3) - 1) * d;
}

void IQ4_NL(Block b, float* y) {
  const float d = b.f16(0);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(kIq4Values[b.nibble32(2, j)]);
}

void IQ4_XS(Block b, float* y) {
  const float d = b.f16(0);
  for (int s = 0; s < 8; ++s) {
    const uint32_t low = b.u8(4 + s / 2) >> (s % 2 * 4) & 15, high = b.u16(2) >> (2 * s) & 3;
    const float scale = d * static_cast<float>(static_cast<int>(low | high << 4) - 32);
    for (int j = 0; j < 32; ++j)
      y[s * 32 + j] = scale * static_cast<float>(kIq4Values[b.nibble32(8 + s * 16, j)]);
  }
}

void MXFP4(Block b, float* y) {
  const uint32_t e = b.u8(0);  // half of 2^(e-127), because the values are doubled
  const float d = FloatOf(e < 2 ? 0x00200000u << e : (e - 1) << 23);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(kFp4Doubled[b.nibble32(1, j)]);
}

float HalfOfUe4m3(uint32_t code) {
  if (code == 0 || code == 0x7F) return 0.0f;
  const uint32_t exponent = code >> 3 & 15;
  const float mantissa = static_cast<float>(code & 7);
  const float value = exponent == 0
                          ? mantissa * FloatOf((127u - 9u) << 23)
                          : (1.0f + mantissa / 8.0f) * FloatOf((127u + exponent - 7u) << 23);
  return value * 0.5f;
}

void NVFP4(Block b, float* y) {
  for (int s = 0; s < 4; ++s) {
    const float d = HalfOfUe4m3(b.u8(s));
    for (int j = 0; j < 16; ++j) {
      const uint32_t byte = b.u8(4 + s * 8 + j % 8);
      y[s * 16 + j] = d * static_cast<float>(kFp4Doubled[j < 8 ? byte & 15 : byte >> 4]);
    }
  }
}

// An unpacked codebook.
std::vector<float> Unpacked(const gguf_grids::Grid& grid) {
  const auto digit = [](char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; };
  std::vector<float> values;
  for (size_t i = 0; i + 1 < grid.packed_hex.size(); i += 2) {
    const int byte = digit(grid.packed_hex[i]) << 4 | digit(grid.packed_hex[i + 1]);
    for (int shift = 0; shift < 8; shift += grid.bits)
      values.push_back(static_cast<float>(grid.map[byte >> shift & ((1 << grid.bits) - 1)]));
  }
  return values;
}

// `n` values of an entry times `scale`, negative where `signs` has a bit.
void PutSigned(const float* entry, int n, float scale, uint32_t signs, float* y) {
  for (int j = 0; j < n; ++j) y[j] = scale * entry[j] * ((signs >> j & 1) != 0 ? -1.0f : 1.0f);
}

// Seven signs, and an eighth that makes their number even.
uint32_t EvenSigns(uint32_t seven) {
  return seven | (static_cast<uint32_t>(std::popcount(seven)) & 1) << 7;
}

void IQ2_XXS(Block b, float* y) {
  static const std::vector<float> grid = Unpacked(gguf_grids::Iq2Xxs());
  const float d = b.f16(0);
  for (int s = 0; s < 8; ++s) {
    const int at = 2 + s * 8;
    const uint32_t rest = b.u32(at + 4);
    const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.25f;
    for (int k = 0; k < 4; ++k)
      PutSigned(&grid[b.u8(at + k) * 8], 8, scale, EvenSigns(rest >> (7 * k) & 127),
                y + s * 32 + k * 8);
  }
}

void IQ2_XS(Block b, float* y) {
  static const std::vector<float> grid = Unpacked(gguf_grids::Iq2Xs());
  const float d = b.f16(0);
  for (int k = 0; k < 32; ++k) {
    const uint32_t q = b.u16(2 + k * 2);
    const uint32_t s = b.u8(66 + k / 4) >> (k / 2 % 2 * 4) & 15;
    PutSigned(&grid[(q & 511) * 8], 8, d * (0.5f + static_cast<float>(s)) * 0.25f,
              EvenSigns(q >> 9), y + k * 8);
  }
}

void IQ2_S(Block b, float* y) {
  static const std::vector<float> grid = Unpacked(gguf_grids::Iq2S());
  const float d = b.f16(0);
  for (int k = 0; k < 32; ++k) {
    const uint32_t q = b.u8(2 + k) | (b.u8(66 + k / 4) >> (k % 4 * 2) & 3) << 8;
    const uint32_t s = b.u8(74 + k / 4) >> (k / 2 % 2 * 4) & 15;
    PutSigned(&grid[q * 8], 8, d * (0.5f + static_cast<float>(s)) * 0.25f, b.u8(34 + k), y + k * 8);
  }
}

void IQ3_XXS(Block b, float* y) {
  static const std::vector<float> grid = Unpacked(gguf_grids::Iq3Xxs());
  const float d = b.f16(0);
  for (int s = 0; s < 8; ++s) {
    const uint32_t rest = b.u32(66 + s * 4);
    const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.5f;
    for (int k = 0; k < 8; ++k) {
      const uint32_t signs = EvenSigns(rest >> (7 * (k / 2)) & 127) >> (k % 2 * 4);
      PutSigned(&grid[b.u8(2 + s * 8 + k) * 4], 4, scale, signs, y + s * 32 + k * 4);
    }
  }
}

void IQ3_S(Block b, float* y) {
  static const std::vector<float> grid = Unpacked(gguf_grids::Iq3S());
  const float d = b.f16(0);
  for (int k = 0; k < 64; ++k) {
    const uint32_t q = b.u8(2 + k) | (b.u8(66 + k / 8) >> (k % 8) & 1) << 8;
    const uint32_t s = b.u8(106 + k / 16) >> (k / 8 % 2 * 4) & 15;
    PutSigned(&grid[q * 4], 4, d * static_cast<float>(1 + 2 * s), b.u8(74 + k / 2) >> (k % 2 * 4),
              y + k * 4);
  }
}

void PutShifted(const float* entry, float scale, bool down, float* y) {
  for (int j = 0; j < 8; ++j) y[j] = scale * (entry[j] + (down ? -0.125f : 0.125f));
}

const std::vector<float>& Iq1Grid() {
  static const std::vector<float> grid = Unpacked(gguf_grids::Iq1S());
  return grid;
}

void IQ1_S(Block b, float* y) {
  const float d = b.f16(0);
  for (int k = 0; k < 32; ++k) {
    const uint32_t high = b.u16(34 + k / 4 * 2);
    const uint32_t q = b.u8(2 + k) | (high >> (k % 4 * 3) & 7) << 8;
    PutShifted(&Iq1Grid()[q * 8], d * static_cast<float>(2 * (high >> 12 & 7) + 1),
               (high & 0x8000) != 0, y + k * 8);
  }
}

void IQ1_M(Block b, float* y) {
  uint32_t scale = 0;  // spread over the four words of the sub-scales
  for (int i = 0; i < 4; ++i) scale |= (b.u16(48 + i * 2) >> 12) << (4 * i);
  const float d = FloatOfF16(static_cast<uint16_t>(scale));
  for (int k = 0; k < 32; ++k) {
    const uint32_t high = b.u8(32 + k / 2) >> (k % 2 * 4);
    const uint32_t s = b.u16(48 + k / 8 * 2) >> (k % 8 / 2 * 3) & 7;
    PutShifted(&Iq1Grid()[(b.u8(k) | (high & 7) << 8) * 8], d * static_cast<float>(2 * s + 1),
               (high & 8) != 0, y + k * 8);
  }
}

void F32(Block b, float* y) { *y = b.f32(0); }
void F16(Block b, float* y) { *y = b.f16(0); }
void BF16(Block b, float* y) { *y = FloatOfBf16(static_cast<uint16_t>(b.u16(0))); }
void F64(Block b, float* y) {
  const uint64_t bits = b.u32(0) | uint64_t{b.u32(4)} << 32;
  *y = static_cast<float>(std::bit_cast<double>(bits));
}

using DecodeBlock = void (*)(Block, float*);

DecodeBlock DecoderOf(GgufType type) {
  switch (type) {
    case GgufType::kF32:
      return F32;
    case GgufType::kF16:
      return F16;
    case GgufType::kBF16:
      return BF16;
    case GgufType::kF64:
      return F64;
    case GgufType::kQ4_0:
      return Q4_0;
    case GgufType::kQ4_1:
      return Q4_1;
    case GgufType::kQ5_0:
      return Q5_0;
    case GgufType::kQ5_1:
      return Q5_1;
    case GgufType::kQ8_0:
      return Q8_0;
    case GgufType::kQ8_K:
      return Q8_K;
    case GgufType::kQ2_K:
      return Q2_K;
    case GgufType::kQ3_K:
      return Q3_K;
    case GgufType::kQ4_K:
      return Q4_K;
    case GgufType::kQ5_K:
      return Q5_K;
    case GgufType::kQ6_K:
      return Q6_K;
    case GgufType::kIQ2_XXS:
      return IQ2_XXS;
    case GgufType::kIQ2_XS:
      return IQ2_XS;
    case GgufType::kIQ2_S:
      return IQ2_S;
    case GgufType::kIQ3_XXS:
      return IQ3_XXS;
    case GgufType::kIQ3_S:
      return IQ3_S;
    case GgufType::kIQ1_S:
      return IQ1_S;
    case GgufType::kIQ1_M:
      return IQ1_M;
    case GgufType::kIQ4_NL:
      return IQ4_NL;
    case GgufType::kIQ4_XS:
      return IQ4_XS;
    case GgufType::kTQ1_0:
      return TQ1_0;
    case GgufType::kTQ2_0:
      return TQ2_0;
    case GgufType::kMXFP4:
      return MXFP4;
    case GgufType::kNVFP4:
      return NVFP4;
    case GgufType::kQ1_0:
      return Q1_0;
    case GgufType::kQ2_0:
      return Q2_0;
    case GgufType::kI8:
    case GgufType::kI16:
    case GgufType::kI32:
    case GgufType::kI64:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

bool DecodesGguf(GgufType type) { return DecoderOf(type) != nullptr; }

void DecodeGguf(GgufType type, const char* blocks, int64_t elements, float* out) {
  const GgufTypeRow* row = FindGgufType(static_cast<uint32_t>(type));
  const DecodeBlock decode = DecoderOf(type);
  SWAGE_CHECK(row != nullptr && decode != nullptr && elements % row->elements == 0, elements);
  for (int64_t i = 0; i < elements; i += row->elements, blocks += row->bytes)
    decode(Block(blocks), out + i);
}

}  // namespace swage
