// Added tokens: strings that are cut out of the text before anything else happens to it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace swage {

struct AddedToken {
  std::string content;  // not empty
  int32_t id = 0;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = false;   // searched after those that are not
};

// Leftmost-longest search for a set of tokens. Immutable; thread-safe.
class AddedTokenMatcher {
 public:
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);
  using Sink = std::function<void(std::string_view piece, std::optional<int32_t> id)>;
  // Calls `sink` with the pieces of `text` (valid UTF-8) in order: a token's, with its id, or what
  // lies between.
  void Split(std::string_view text, const Sink& sink) const;
  bool empty() const { return tokens_.empty(); }

 private:
  // Index of the longest token that begins at text[at], or -1.
  int LongestAt(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;
  absl::flat_hash_map<uint64_t, int32_t> edges_;  // (node << 8 | byte) -> node
  std::vector<int> token_of_node_;                // -1: none ends there
  bool first_[256] = {};
};

}  // namespace swage
