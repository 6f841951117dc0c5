// Counter-based randomness: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC'11), keyed by (job seed, tensor, element), so that a value never depends on threads,
// workers or the order of work. Element i is the i-th draw of swage::Rng(seed, tensor).
//   const RandomKey key{job_seed, tensor_index, 0};
//   uint32_t bits = RandomWord(key, 17);
// Pure functions, usable on the host and in CUDA kernels.
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage {

struct RandomKey {
  uint64_t seed = 0;    // of the job
  uint64_t tensor = 0;  // or any other stream of the job
  uint64_t first = 0;   // number of the first element: a slice continues its tensor's draws
};

struct PhiloxBlock {
  uint32_t word[4];
};

// Ten rounds on counter `c` with the key (key0, key1).
SWAGE_HD PhiloxBlock PhiloxRounds(PhiloxBlock c, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * c.word[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * c.word[2];
    const PhiloxBlock next = {{static_cast<uint32_t>(product1 >> 32) ^ c.word[1] ^ key0,
                               static_cast<uint32_t>(product1),
                               static_cast<uint32_t>(product0 >> 32) ^ c.word[3] ^ key1,
                               static_cast<uint32_t>(product0)}};
    c = next;
    key0 += 0x9E3779B9u;  // the golden ratio, and sqrt(3) - 1
    key1 += 0xBB67AE85u;
  }
  return c;
}

// The four words of elements 4 * block .. 4 * block + 3 of the tensor.
SWAGE_HD PhiloxBlock RandomBlock(const RandomKey& key, uint64_t block) {
  const PhiloxBlock counter = {{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                                static_cast<uint32_t>(key.tensor),
                                static_cast<uint32_t>(key.tensor >> 32)}};
  return PhiloxRounds(counter, static_cast<uint32_t>(key.seed),
                      static_cast<uint32_t>(key.seed >> 32));
}

SWAGE_HD uint32_t RandomWord(const RandomKey& key, uint64_t element) {
  const uint64_t at = key.first + element;
  return RandomBlock(key, at / 4).word[at % 4];
}

// [0, 1): multiples of 2^-24, exact in f32.
SWAGE_HD float UnitOf(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// (0, 1): odd multiples of 2^-24, exact in f32; what a logarithm is taken of.
SWAGE_HD float OpenUnitOf(uint32_t word) {
  return static_cast<float>((word >> 9) * 2 + 1) * 0x1p-24f;
}

// To bf16, up with the probability of what is cut off (arXiv 1502.02551); the expectation is x, as
// long as x does not round up to infinity. Infinities and NaN stay what they are.
SWAGE_HD uint16_t StochasticBf16Of(float x, uint32_t word) {
  const uint32_t bits = BitsOf(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) {
    const bool nan = (bits & 0x7fffffu) != 0;
    return static_cast<uint16_t>((bits >> 16) | (nan ? 0x40u : 0u));
  }
  return static_cast<uint16_t>((bits + (word >> 16)) >> 16);
}

// x / scale + zero, rounded at random to one of the two whole numbers around it, the nearer one
// more often, then clamped. NaN gives `low`. scale is positive.
SWAGE_HD int8_t StochasticCode(float x, float scale, float zero, int low, int high,
                               uint32_t word) {
  const float v = x / scale + zero;
  // Beyond these every neighbour is clamped; within them floor and fraction are exact.
  if (!(v >= static_cast<float>(low))) return static_cast<int8_t>(low);
  if (v >= static_cast<float>(high)) return static_cast<int8_t>(high);
  int whole = static_cast<int>(v);
  if (static_cast<float>(whole) > v) --whole;
  return static_cast<int8_t>(whole + (UnitOf(word) < v - static_cast<float>(whole) ? 1 : 0));
}

}  // namespace swage
