// The merges of byte-pair encoding over bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace swage {

struct MergeRow {
  int32_t rank = 0;  // the lowest is merged first
  int32_t result = 0;
};

struct BpeTables {
  std::array<int32_t, 256> byte_id{};              // -1: the vocabulary lacks the byte
  absl::flat_hash_map<uint64_t, MergeRow> merges;  // left << 32 | right
  absl::flat_hash_map<std::string, int32_t>
      whole_words;  // by bytes; used when merges are ignored for known words
  std::optional<int32_t>
      unknown;                // stands for a byte that the vocabulary lacks; else it is dropped
  bool fuse_unknown = false;  // neighbours become one
};

// Immutable after construction; thread-safe.
class Bpe {
 public:
  explicit Bpe(BpeTables tables) : tables_(std::move(tables)) {}
  // Appends the ids of one word. O(n^2) in time for short words, O(n log n) for long ones.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const;

 private:
  void MergeShort(std::vector<int32_t>* ids, size_t first) const;
  void MergeLong(std::vector<int32_t>* ids, size_t first) const;
  const MergeRow* FindMerge(int32_t left, int32_t right) const;

  BpeTables tables_;
};

inline uint64_t MergeKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace swage
