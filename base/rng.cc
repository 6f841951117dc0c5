#include "base/rng.h"

#include <sys/random.h>

#include <cerrno>
#include <cmath>
#include <numbers>

#include "base/status.h"
#include "base/text.h"

namespace swage {
namespace {

void FillFromSystem(void* out, size_t size) {
  auto* bytes = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = getrandom(bytes, size, 0);
    if (got < 0 && errno == EINTR) continue;
    SWAGE_CHECK(got > 0, "getrandom failed");
    bytes += got;
    size -= static_cast<size_t>(got);
  }
}

}  // namespace

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  constexpr int kRounds = 10;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(product1 >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(product1),
         static_cast<uint32_t>(product0 >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;  // golden ratio
    key[1] += 0xBB67AE85;  // sqrt(3) - 1
  }
  return c;
}

Rng::Rng(uint64_t seed, uint64_t stream)
    : counter_{0, 0, static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
      key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)} {}

uint32_t Rng::operator()() {
  if (used_ == 4) {
    block_ = Philox4x32(counter_, key_);
    if (++counter_[0] == 0) ++counter_[1];
    used_ = 0;
  }
  return block_[used_++];
}

uint64_t Rng::Uniform(uint64_t bound) {
  SWAGE_CHECK(bound > 0, "Uniform needs a positive bound");
  // Lemire's method: the high half of a product is uniform once the biased low values are drawn again.
  const uint64_t biased = (0 - bound) % bound;
  for (;;) {
    const uint64_t high = (*this)();
    const uint64_t draw = high << 32 | (*this)();
    const auto product = static_cast<unsigned __int128>(draw) * bound;
    if (static_cast<uint64_t>(product) >= biased) return static_cast<uint64_t>(product >> 64);
  }
}

double Rng::UniformDouble() {
  const uint64_t high = (*this)() >> 5, low = (*this)() >> 6;  // 27 + 26 = 53 bits
  return static_cast<double>(high << 26 | low) * 0x1p-53;
}

double Rng::Gaussian() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - UniformDouble()));  // the logarithm's argument is in (0, 1]
  return radius * std::cos(2.0 * std::numbers::pi * UniformDouble());
}

uint64_t RandomU64() {
  uint64_t value;
  FillFromSystem(&value, sizeof value);
  return value;
}

std::string RandomHex(size_t bytes) {
  std::string raw(bytes, '\0');
  FillFromSystem(raw.data(), raw.size());
  return HexLower(raw.data(), raw.size());
}

}  // namespace swage
