// Patterns of tokenizer.json on PCRE2. The library that defines the format searches with Oniguruma
// (Ruby syntax, Unicode 16); PCRE2 10.42 knows Unicode 14 and differs in some details, so a pattern
// is translated first:
//   \s, \d, \w, \p{..}  become explicit classes, with the code points assigned after Unicode 14
//   added ^ and $             match at every line, \v is VT, \uHHHH is a code point, as in Ruby
// What the two syntaxes read differently (nested classes, "{n}+", \b, (?m), ...) is refused:
// UNSUPPORTED_TOKENIZER. Known rest: U+1171E changed from Mn to Mc after Unicode 14, which \p{Mn}
// and \p{Mc} alone can tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace swage {

struct LaterCodePoints {
  std::string_view property;  // a category, "Lu", or a script, "Han"
  uint32_t first, last;
};
const std::vector<LaterCodePoints>& CodePointsAfterUnicode14();  // generated

// The pattern as PCRE2 must be given it.
StatusOr<std::string> TranslatePattern(std::string_view pattern);

class Regex {
 public:
  // What one thread needs to search; usable with every Regex.
  class Scratch {
   public:
    Scratch();
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

   private:
    friend class Regex;
    pcre2_real_match_data_8* data_;
    pcre2_real_match_context_8* context_;
    pcre2_real_jit_stack_8* stack_;
  };

  // Errors: TOKENIZER_REGEX (does not compile), UNSUPPORTED_TOKENIZER (see above).
  static StatusOr<Regex> Compile(std::string_view pattern);
  static StatusOr<Regex> GraphemeCluster();  // \X
  Regex(Regex&& other) noexcept;
  Regex& operator=(Regex&& other) noexcept;
  ~Regex();

  // The leftmost match that begins at or after `from`. `text` must be valid UTF-8, `from` at a
  // character. False also when a match limit was exceeded. Thread-safe with a Scratch per thread.
  bool Find(std::string_view text, size_t from, Scratch* scratch, size_t* begin, size_t* end) const;

 private:
  static StatusOr<Regex> CompileTranslated(std::string_view pattern);
  explicit Regex(pcre2_real_code_8* code) : code_(code) {}
  pcre2_real_code_8* code_;
};

}  // namespace swage
