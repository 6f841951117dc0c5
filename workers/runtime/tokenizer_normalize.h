// Normalizers: what happens to a text (between the added tokens) before it is cut into words.
//
//   Normalizer normalizer(std::move(steps));
//   std::string changed;
//   std::string_view text = normalizer.Run(piece, &changed);  // `piece` itself when nothing
//   changes
//
// Unicode normalization follows Unicode Standard Annex 15; its tables are those of the `tokenizers`
// library (tests/golden/tokenizer/make_unicode.py), which lag behind the newest Unicode.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "workers/runtime/tokenizer_charsmap.h"
#include "workers/runtime/tokenizer_regex.h"

namespace swage {

namespace unicode_tables {  // generated
const char* Canonical();
const char* Compatible();
const char* NotComposed();
const char* CombiningClasses();
const char* Lowercase();
const char* Marks();
const char* Punctuation();
}  // namespace unicode_tables

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// Pure functions; `text` must be valid UTF-8.
std::string ToUnicodeForm(UnicodeForm form, std::string_view text);
std::string ToLowercase(std::string_view text);   // character by character
std::string WithoutMarks(std::string_view text);  // StripAccents
const std::string& PunctuationClass();            // the items of a regex class

struct NormalizerStep {
  struct Prepend {
    std::string text;
  };
  struct Replace {
    std::optional<Regex> regex;  // else `literal`
    std::string literal;
    std::string with;
  };
  struct Strip {
    bool left = true, right = true;
  };
  struct Lowercase {};
  struct StripAccents {};
  struct Nmt {};
  struct ByteLevel {};
  std::variant<Prepend, Replace, Strip, UnicodeForm, Lowercase, StripAccents, Nmt, ByteLevel,
               Charsmap>
      what;
};

// Immutable after construction; Run is thread-safe.
class Normalizer {
 public:
  explicit Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}
  bool empty() const { return steps_.empty(); }
  // `storage` holds the result when it differs from `text`.
  std::string_view Run(std::string_view text, std::string* storage) const;
  // Some step can remove the beginning of a text.
  bool may_drop() const;
  // By how much a text can grow at most, what is prepended apart.
  double growth() const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace swage
