// Digests. Objects are named by the SHA-256 of their raw bytes; frames on disk carry XXH3-128.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace swage {

// A SHA-256. Ordered, hashable (absl), printed as 64 lower-case hex digits.
struct Digest {
  std::array<uint8_t, 32> bytes{};
  auto operator<=>(const Digest&) const = default;
  std::string Hex() const;
  static StatusOr<Digest> FromHex(std::string_view hex);  // exactly 64 lower-case hex digits
  template <typename H>
  friend H AbslHashValue(H h, const Digest& d) { return H::combine(std::move(h), d.bytes); }
};

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void Update(std::string_view bytes);
  Digest Finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest Sha256Of(std::string_view bytes);

struct Xxh128 {
  uint64_t low = 0, high = 0;
  bool operator==(const Xxh128&) const = default;
};
Xxh128 Xxh3_128(std::string_view bytes);

}  // namespace swage
