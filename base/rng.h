// Randomness. Philox4x32-10 (Salmon et al., SC'11) is counter-based: a value depends on (key, counter) alone,
// never on threads or workers. RandomId draws from the operating system.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace swage {

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A stream over Philox; satisfies UniformRandomBitGenerator.
class Rng {
 public:
  using result_type = uint32_t;
  explicit Rng(uint64_t seed, uint64_t stream = 0);
  static constexpr uint32_t min() { return 0; }
  static constexpr uint32_t max() { return 0xffffffffu; }
  uint32_t operator()();
  uint64_t Uniform(uint64_t bound);  // [0, bound), unbiased; bound > 0
  double UniformDouble();            // [0, 1)
  double Gaussian();                 // Box-Muller

 private:
  std::array<uint32_t, 4> counter_, block_{};
  std::array<uint32_t, 2> key_;
  int used_ = 4;
};

uint64_t RandomU64();                  // operating system's
std::string RandomHex(size_t bytes);   // 2 * bytes hex digits, operating system's

}  // namespace swage
