#include "workers/runtime/tokenizer_charsmap.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/escaping.h"
#include "base/text.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

constexpr size_t kRuleKeyBytes = 6;  // longer clusters have no rule of their own

// Fields of a double-array unit.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) == 1; }
uint32_t ValueOf(uint32_t unit) { return unit & 0x7FFFFFFFu; }
uint32_t LabelOf(uint32_t unit) { return unit & (1u << 31 | 0xFFu); }
uint32_t OffsetOf(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

Status BadCharsmap(std::string_view what) {
  return InvalidInput("TOKENIZER_FIELD",
                      Cat("tokenizer.json: the precompiled_charsmap of a normalizer ", what),
                      "check that the file is complete and unchanged");
}

}  // namespace

StatusOr<Charsmap> Charsmap::Parse(std::string_view base64) {
  std::string bytes;
  if (!absl::Base64Unescape(ToAbsl(base64), &bytes)) return BadCharsmap("is not Base64");
  uint32_t trie_bytes = 0;
  if (bytes.size() < 4) return BadCharsmap("is cut off");
  std::memcpy(&trie_bytes, bytes.data(), 4);
  if (trie_bytes % 4 != 0 || trie_bytes == 0 || trie_bytes > bytes.size() - 4)
    return BadCharsmap(Cat("gives its trie ", trie_bytes, " of ", bytes.size(), " bytes"));
  SWAGE_ASSIGN_OR_RETURN(Regex grapheme, Regex::GraphemeCluster());
  Charsmap map(std::move(grapheme));
  map.units_.resize(trie_bytes / 4);
  std::memcpy(map.units_.data(), bytes.data() + 4, trie_bytes);
  map.strings_ = bytes.substr(4 + trie_bytes);
  if (!IsValidUtf8(map.strings_)) return BadCharsmap("replaces by what is no UTF-8");
  return map;
}

std::optional<std::string_view> Charsmap::Rule(std::string_view key) const {
  uint32_t at = OffsetOf(units_[0]);
  for (const char c : key) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (byte == 0) return std::nullopt;
    at ^= byte;
    if (at >= units_.size() || LabelOf(units_[at]) != byte) return std::nullopt;
    const bool leaf = HasLeaf(units_[at]);
    at ^= OffsetOf(units_[at]);
    if (!leaf) continue;
    if (at >= units_.size()) return std::nullopt;
    const uint32_t begin = ValueOf(units_[at]);
    const bool inside = begin < strings_.size() && (strings_[begin] & 0xC0) != 0x80;
    if (!inside) return std::nullopt;
    const size_t end = strings_.find('\0', begin);
    return std::string_view(strings_).substr(begin, end == std::string::npos ? end : end - begin);
  }
  return std::nullopt;
}

std::string Charsmap::Apply(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  Regex::Scratch scratch;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    // A printable ASCII character before another one is a cluster: nothing to search for.
    const auto plain = [&](size_t i) { return text[i] >= 0x20 && text[i] < 0x7F; };
    if (!plain(at) || (end < text.size() && !plain(end))) {
      size_t begin = at;
      if (!grapheme_.Find(text, at, &scratch, &begin, &end) || begin != at || end <= at)
        end = at + std::max<size_t>(1, Utf8SequenceAt(text, at));
    }
    const std::string_view cluster = text.substr(at, end - at);
    at = end;
    if (cluster.size() < kRuleKeyBytes) {
      if (const auto rule = Rule(cluster)) {
        out.append(*rule);
        continue;
      }
    }
    for (size_t i = 0; i < cluster.size();) {
      const std::string_view character =
          cluster.substr(i, std::max<size_t>(1, Utf8SequenceAt(cluster, i)));
      out.append(Rule(character).value_or(character));
      i += character.size();
    }
  }
  return out;
}

size_t Charsmap::longest() const {
  size_t longest = 0;
  for (size_t begin = 0; begin < strings_.size();) {
    const size_t end = std::min(strings_.find('\0', begin), strings_.size());
    longest = std::max(longest, end - begin);
    begin = end + 1;
  }
  return longest;
}

}  // namespace swage
