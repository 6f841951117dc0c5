// The "Precompiled" normalizer: SentencePiece's rules (nmt_nfkc and the like) as the table that it
// keeps in its models: u32 size of a double-array trie, the trie (32-bit units, as darts-clone lays
// them out), then the replacements as strings that end in NUL. A trie's value is an offset into
// these. All offsets are checked when they are followed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "workers/runtime/tokenizer_regex.h"

namespace swage {

class Charsmap {
 public:
  // `base64` as it stands in tokenizer.json. Errors: TOKENIZER_FIELD.
  static StatusOr<Charsmap> Parse(std::string_view base64);
  // As the library does: a grapheme cluster of less than 6 bytes is replaced whole by the rule of
  // its shortest prefix that has one; else each character by its own rule. Thread-safe.
  std::string Apply(std::string_view text) const;
  size_t longest() const;  // bytes of the longest replacement

 private:
  explicit Charsmap(Regex grapheme) : grapheme_(std::move(grapheme)) {}
  // The rule of the shortest prefix of `key`.
  std::optional<std::string_view> Rule(std::string_view key) const;

  Regex grapheme_;
  std::vector<uint32_t> units_;
  std::string strings_;
};

}  // namespace swage
