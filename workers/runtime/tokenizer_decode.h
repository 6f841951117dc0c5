// Decoders: how tokens become text again.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "workers/runtime/tokenizer_regex.h"

namespace swage {

struct DecoderStep {
  struct ByteLevel {};     // characters of GPT-2's alphabet become bytes
  struct ByteFallback {};  // runs of "<0x0A>" become the text that their bytes are
  struct Fuse {};          // all tokens become one
  struct Metaspace {
    std::string mark;
    bool drop_first = true;  // a mark in the first token is no space
  };
  struct Replace {
    std::optional<Regex> regex;  // else `literal`
    std::string literal, with;
  };
  struct Strip {  // of each token, at most so many of one character
    std::string character;
    size_t start = 0, stop = 0;
  };
  struct EndOfWord {
    std::string suffix;
  };
  std::variant<ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, EndOfWord> what;
};

// Immutable; thread-safe.
class TokenDecoder {
 public:
  // No steps at all: the tokens with a space between any two.
  explicit TokenDecoder(std::vector<DecoderStep> steps) : steps_(std::move(steps)) {}
  std::string Run(std::vector<std::string> tokens) const;

 private:
  std::vector<DecoderStep> steps_;
};

// Every occurrence of the regex, or of `literal`, becomes `with`.
std::string ReplaceAll(const std::optional<Regex>& regex, std::string_view literal,
                       std::string_view with, std::string_view text);

}  // namespace swage
