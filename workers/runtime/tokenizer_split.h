// Pre-tokenization: the steps that cut a text into the words that the model looks at one by one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "workers/runtime/tokenizer_regex.h"

namespace swage {

// What happens to the matches of a pattern.
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

// The pattern of ByteLevel with use_regex.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct SplitStep {
  enum class Kind {
    kPattern,       // cuts at the matches of `regex`, or of `literal`
    kMetaspace,     // ' ' becomes `literal`; then, with `cut`, a cut before each `literal`
    kByteAlphabet,  // no cut: each byte becomes its character of GPT-2's alphabet
    kFixedLength,   // pieces of `length` characters
    kRunStarts,     // a cut before each run of `literal`
  };
  enum class Prepend { kNever, kFirst, kAlways };

  Kind kind = Kind::kPattern;
  std::optional<Regex> regex;
  std::string literal;  // "": matches nothing
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;            // what does not match counts as match
  bool add_prefix_space = false;  // ByteLevel: a piece that does not begin with ' ' gets one
  // kMetaspace: a piece that does not begin with `literal` gets one; kFirst: only at the beginning
  // of the text.
  Prepend prepend = Prepend::kAlways;
  bool cut = true;
  size_t length = 1;
};

// Immutable after construction; Run is thread-safe with a Scratch per thread.
class PreTokenizer {
 public:
  using Sink = std::function<void(std::string_view word)>;
  explicit PreTokenizer(std::vector<SplitStep> steps) : steps_(std::move(steps)) {}
  // Calls `sink` with each word of `text` (valid UTF-8), in order; a word lives only during the
  // call. `first`: `text` is the beginning of the whole text.
  void Run(std::string_view text, bool first, Regex::Scratch* scratch, const Sink& sink) const {
    RunFrom(0, text, first, scratch, sink);
  }

 private:
  void RunFrom(size_t step, std::string_view piece, bool first, Regex::Scratch* scratch,
               const Sink& sink) const;
  void RunPattern(size_t step, std::string_view piece, bool first, Regex::Scratch* scratch,
                  const Sink& sink) const;
  void RunMetaspace(size_t step, std::string_view piece, bool first, Regex::Scratch* scratch,
                    const Sink& sink) const;

  std::vector<SplitStep> steps_;
};

}  // namespace swage
