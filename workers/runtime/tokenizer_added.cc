#include "workers/runtime/tokenizer_added.h"

#include <algorithm>

#include "base/status.h"
#include "workers/runtime/tokenizer_regex.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

size_t CharacterBefore(std::string_view text, size_t at) {  // needs at > 0
  do {
    --at;
  } while (at > 0 && IsContinuation(text[at]));
  return at;
}

size_t WithoutTrailingSpace(std::string_view text, size_t end) {
  while (end > 0) {
    const size_t before = CharacterBefore(text, end);
    if (!IsWhiteSpace(DecodeUtf8At(text, before))) break;
    end = before;
  }
  return end;
}

size_t AfterLeadingSpace(std::string_view text, size_t begin) {
  while (begin < text.size() && IsWhiteSpace(DecodeUtf8At(text, begin)))
    begin += Utf8SequenceAt(text, begin);
  return begin;
}

// A \w of Rust's regex crate: like Oniguruma's, and the two joiners.
bool IsWordAt(std::string_view text, size_t at) {
  static const Regex word = [] {
    StatusOr<Regex> regex = Regex::Compile(R"((?:\w|[\x{200c}\x{200d}]))");
    SWAGE_CHECK(regex.ok(), regex.status().ToString());
    return std::move(regex).value();
  }();
  Regex::Scratch scratch;
  size_t begin = 0, end = 0;
  return word.Find(text.substr(at, Utf8SequenceAt(text, at)), 0, &scratch, &begin, &end);
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  token_of_node_.push_back(-1);
  for (size_t t = 0; t < tokens_.size(); ++t) {
    uint64_t node = 0;
    for (const char c : tokens_[t].content) {
      const auto [edge, is_new] = edges_.try_emplace(node << 8 | static_cast<uint8_t>(c),
                                                     static_cast<int32_t>(token_of_node_.size()));
      if (is_new) token_of_node_.push_back(-1);
      node = static_cast<uint64_t>(edge->second);
    }
    token_of_node_[node] = static_cast<int>(t);
    first_[static_cast<uint8_t>(tokens_[t].content.front())] = true;
  }
}

int AddedTokenMatcher::LongestAt(std::string_view text, size_t at) const {
  int best = -1;
  uint64_t node = 0;
  for (; at < text.size(); ++at) {
    const auto edge = edges_.find(node << 8 | static_cast<uint8_t>(text[at]));
    if (edge == edges_.end()) break;
    node = static_cast<uint64_t>(edge->second);
    if (token_of_node_[node] >= 0) best = token_of_node_[node];
  }
  return best;
}

void AddedTokenMatcher::Split(std::string_view text, const Sink& sink) const {
  size_t done = 0;  // end of the last piece that was given out
  for (size_t at = 0; at < text.size();) {
    const int found = first_[static_cast<uint8_t>(text[at])] ? LongestAt(text, at) : -1;
    if (found < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[found];
    size_t begin = at, end = at + token.content.size();
    at = end;  // the search goes on here even if the token is then refused, or takes the white
               // space after it
    if (token.single_word && ((begin > 0 && IsWordAt(text, CharacterBefore(text, begin))) ||
                              (end < text.size() && IsWordAt(text, end)))) {
      continue;
    }
    if (token.lstrip) begin = std::max(WithoutTrailingSpace(text, begin), done);
    if (token.rstrip) end = AfterLeadingSpace(text, end);
    if (done < begin) sink(text.substr(done, begin - done), std::nullopt);
    sink(text.substr(begin, end - begin), token.id);
    done = end;
  }
  if (done < text.size()) sink(text.substr(done), std::nullopt);
}

}  // namespace swage
