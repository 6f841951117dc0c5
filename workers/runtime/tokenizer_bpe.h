// The merges of byte-pair encoding, over bytes (GPT-2's kind) or over characters (SentencePiece's).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "workers/runtime/tokenizer_model.h"

namespace swage {

struct MergeRow {
  int32_t rank = 0;  // the lowest is merged first
  int32_t result = 0;
};

// What a word's characters begin as, when its symbols are characters and not bytes.
struct BpeCharacters {
  absl::flat_hash_map<std::string, int32_t> vocab;  // UTF-8, as written
  // With byte_fallback: the ids of "<0x00>" to "<0xFF>", -1 where there is none. They stand for a
  // character that the vocabulary lacks.
  std::optional<std::array<int32_t, 256>> fallback;
  std::string prefix;  // continuing_subword_prefix: before every character but a word's first
  std::string suffix;  // end_of_word_suffix: after a word's last
};

struct BpeTables {
  std::array<int32_t, 256> byte_id{};              // -1: the vocabulary lacks the byte
  std::optional<BpeCharacters> characters;         // then `byte_id` is not used
  absl::flat_hash_map<uint64_t, MergeRow> merges;  // left << 32 | right
  // Used when merges are ignored for known words; by bytes, or by characters.
  absl::flat_hash_map<std::string, int32_t> whole_words;
  // Stands for a byte or character that the vocabulary lacks; else it is dropped.
  std::optional<int32_t> unknown;
  bool fuse_unknown = false;  // neighbours become one
};

// Immutable after construction; thread-safe.
class Bpe : public WordModel {
 public:
  explicit Bpe(BpeTables tables);
  // O(n^2) in time for short words, O(n log n) for long ones.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const override;

 private:
  void AddBytes(std::string_view word, std::vector<int32_t>* ids) const;
  void AddCharacters(std::string_view word, std::vector<int32_t>* ids) const;
  int32_t IdOfCharacter(std::string_view character, bool first, bool last) const;  // -1: none
  void MergeShort(std::vector<int32_t>* ids, size_t first) const;
  void MergeLong(std::vector<int32_t>* ids, size_t first) const;
  const MergeRow* FindMerge(int32_t left, int32_t right) const;

  BpeTables tables_;
  std::vector<int32_t> id_of_point_;  // of the code points below 2^16; -1: none
};

inline uint64_t MergeKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace swage
