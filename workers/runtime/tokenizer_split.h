// Pre-tokenization: the steps that cut a text into the words that BPE merges within.
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
  std::optional<Regex> regex;  // else `literal`
  std::string literal;         // "": matches nothing
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;            // what does not match counts as match
  bool add_prefix_space = false;  // ByteLevel: a piece that does not begin with ' ' gets one
};

// Immutable after construction; Run is thread-safe with a Scratch per thread.
class PreTokenizer {
 public:
  using Sink = std::function<void(std::string_view word)>;
  explicit PreTokenizer(std::vector<SplitStep> steps) : steps_(std::move(steps)) {}
  // Calls `sink` with each word of `text` (valid UTF-8), in order. A word lies inside `text`,
  // unless `transient`: with a prefix space added it lives only during the call.
  void Run(std::string_view text, Regex::Scratch* scratch, const Sink& sink) const {
    RunFrom(0, text, scratch, sink);
  }
  bool transient() const;

 private:
  void RunFrom(size_t step, std::string_view piece, Regex::Scratch* scratch,
               const Sink& sink) const;

  std::vector<SplitStep> steps_;
};

}  // namespace swage
