// Inputs of the op tests: seeded, so that a failure can be repeated.
#pragma once

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "kernels/numeric/half.h"

namespace swage {

inline std::vector<float> Gaussians(int64_t n, uint64_t seed, float deviation = 1.0f) {
  Rng rng(seed);
  std::vector<float> values(n);
  for (float& x : values) x = deviation * static_cast<float>(rng.Gaussian());
  return values;
}

// Any bit patterns of finite floats: subnormals, zeros of both signs, every exponent.
inline std::vector<float> AnyFiniteFloats(int64_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(n);
  for (float& x : values) {
    uint32_t bits = rng();
    if ((bits & 0x7f800000u) == 0x7f800000u) bits ^= 0x40000000u;
    x = FloatOf(bits);
  }
  for (int64_t i = 0; i < n; i += 17) values[i] = i % 2 == 0 ? 0.0f : -0.0f;
  return values;
}

inline std::vector<int8_t> Codes(int64_t n, int bits, uint64_t seed) {
  Rng rng(seed);
  std::vector<int8_t> codes(n);
  for (int8_t& c : codes)
    c = static_cast<int8_t>(static_cast<int>(rng.Uniform(1u << bits)) - (1 << (bits - 1)));
  return codes;
}

inline std::vector<int32_t> Indices(int64_t n, int64_t limit, uint64_t seed) {
  Rng rng(seed);
  std::vector<int32_t> indices(n);
  for (int32_t& i : indices) i = static_cast<int32_t>(rng.Uniform(limit));
  return indices;
}

inline std::vector<uint16_t> ToBf16(const std::vector<float>& values) {
  std::vector<uint16_t> bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) bits[i] = Bf16Of(values[i]);
  return bits;
}

}  // namespace swage
