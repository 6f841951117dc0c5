#define PCRE2_CODE_UNIT_WIDTH 8
#include "workers/runtime/tokenizer_regex.h"

#include <pcre2.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace swage {
namespace {

constexpr size_t kMaxPatternBytes = 64 << 10;
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr size_t kJitStackMin = 32 << 10, kJitStackMax = 4 << 20;

Status Unsupported(std::string_view pattern, std::string_view what) {
  return Error(StatusCode::kUnimplemented, "UNSUPPORTED_TOKENIZER",
               Cat("the tokenizer's pattern ", std::string(pattern.substr(0, 200)), " uses ",
                   std::string(what), ", which cannot be matched exactly as its own library does"),
               "report the pattern, or use a model whose tokenizer has another one");
}

std::string Hex(uint32_t code_point) {
  char text[16];
  std::snprintf(text, sizeof text, "\\x{%x}", code_point);
  return text;
}

// Later members as class items, of the category `name`, or of all categories of a group such as
// "L"; or of a script.
std::string Later(std::string_view name) {
  std::string items;
  for (const LaterCodePoints& row : CodePointsAfterUnicode14()) {
    const bool in_group =
        name.size() == 1 && row.property.size() == 2 && row.property[0] == name[0];
    if (row.property != name && !in_group) continue;
    items += Hex(row.first);
    if (row.last != row.first) items += "-" + Hex(row.last);
  }
  return items;
}

// Items of a class that match the property; "" when it is not one of the known ones.
std::string PropertyItems(std::string_view name) {
  static const std::string_view kCategories[] = {
      "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N",  "Nd", "Nl", "No", "P", "Pc",
      "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp"};
  static const std::string_view kScripts[] = {"Han", "Hiragana", "Katakana", "Hangul"};
  const auto is_in = [&](const auto& words) {
    return std::find(std::begin(words), std::end(words), name) != std::end(words);
  };
  if (is_in(kCategories)) {
    // The letters first: a class's bitmap is faster than its properties.
    const std::string_view ascii = name == "L"    ? "A-Za-z"
                                   : name == "Lu" ? "A-Z"
                                   : name == "Ll" ? "a-z"
                                                  : "";
    return Cat(ascii, "\\p{", name, "}", Later(name));
  }
  // PCRE2's bare script names mean Script_Extensions.
  if (is_in(kScripts)) return Cat("\\p{sc:", name, "}", Later(name));
  return "";
}

const char kWhiteSpaceItems[] =
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
    "\\x{3000}";

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  StatusOr<std::string> Run() {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        SWAGE_RETURN_IF_ERROR(Escape());
      } else if (in_class_) {
        SWAGE_RETURN_IF_ERROR(ClassCharacter(c));
      } else {
        SWAGE_RETURN_IF_ERROR(Character(c));
      }
    }
    if (in_class_) return Unsupported(in_, "an unterminated class");
    return std::move(out_);
  }

 private:
  void Copy(size_t n) {
    out_.append(in_.substr(at_, n));
    at_ += n;
  }
  bool Ahead(std::string_view text) const { return in_.substr(at_, text.size()) == text; }

  Status Character(char c) {
    if (c == '[') {
      in_class_ = true;
      Copy(Ahead("[^") ? 2 : 1);
      if (Ahead("]")) return Unsupported(in_, "']' at the beginning of a class");
      return absl::OkStatus();
    }
    if (c == '(' && Ahead("(?")) {
      static const std::string_view kGroups[] = {
          "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
      for (const std::string_view group : kGroups) {
        if (Ahead(group)) {
          Copy(group.size());
          return absl::OkStatus();
        }
      }
      return Unsupported(in_, "a group other than (?: (?= (?! (?<= (?<! (?> (?i: (?-i:");
    }
    if (c == '(' && Ahead("(*")) return Unsupported(in_, "a group that begins with (*");
    if (Ahead("{,")) return Unsupported(in_, "a repeat without a lower bound");
    if (Ahead("}+")) return Unsupported(in_, "'+' after a counted repeat");
    Copy(1);
    return absl::OkStatus();
  }

  Status ClassCharacter(char c) {
    if (c == '[') return Unsupported(in_, "a class inside a class");
    if (Ahead("&&")) return Unsupported(in_, "an intersection of classes");
    if (c == ']') in_class_ = false;
    Copy(1);
    return absl::OkStatus();
  }

  // Adds a set of characters; `negated` only outside a class.
  Status AddSet(const std::string& items, bool negated) {
    if (in_class_) {
      if (negated) return Unsupported(in_, "a negated set inside a class");
      out_ += items;
    } else {
      out_ += Cat(negated ? "[^" : "[", items, "]");
    }
    return absl::OkStatus();
  }

  Status Property(bool negated) {
    const size_t close = in_.find('}', at_);
    if (at_ + 2 >= in_.size() || in_[at_ + 2] != '{' || close == std::string_view::npos) {
      return Unsupported(in_, "a property without braces");
    }
    const std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    const std::string items = PropertyItems(name);
    if (items.empty())
      return Unsupported(in_, Cat("the property ", std::string(name.substr(0, 40))));
    at_ = close + 1;
    return AddSet(items, negated);
  }

  Status CodePoint() {  // \uHHHH
    const std::string_view digits = in_.substr(at_ + 2, 4);
    if (digits.size() != 4 ||
        digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
      return Unsupported(in_, "a malformed \\u escape");
    }
    out_ += Cat("\\x{", digits, "}");
    at_ += 6;
    return absl::OkStatus();
  }

  Status Escape() {
    if (at_ + 1 >= in_.size()) return Unsupported(in_, "a backslash at its end");
    const char c = in_[at_ + 1];
    switch (c) {
      case 'p':
      case 'P':
        return Property(c == 'P');
      case 's':
      case 'S':
        at_ += 2;
        return AddSet(kWhiteSpaceItems, c == 'S');
      case 'd':
      case 'D':
        at_ += 2;
        return AddSet(PropertyItems("Nd"), c == 'D');
      case 'w':
      case 'W':
        at_ += 2;
        return AddSet(Cat("\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}", Later("L"), Later("M"),
                          Later("Nd"), Later("Nl")),
                      c == 'W');
      case 'u':
        return CodePoint();
      case 'v':
        out_ += "\\x0b";
        at_ += 2;
        return absl::OkStatus();
      case 'n':
      case 'r':
      case 't':
      case 'f':
        Copy(2);
        return absl::OkStatus();
      case 'x':
        if (!Ahead("\\x{")) return Unsupported(in_, "\\x without braces");
        Copy(3);
        return absl::OkStatus();
      default: {
        const bool word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                          (c >= 'a' && c <= 'z') || (c & 0x80);
        if (word) return Unsupported(in_, Cat("the escape \\", c));
        Copy(2);
        return absl::OkStatus();
      }
    }
  }

  std::string_view in_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

StatusOr<std::string> TranslatePattern(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return InvalidInput("TOKENIZER_REGEX", Cat("a pattern of ", pattern.size(),
                                               " bytes is longer than ", kMaxPatternBytes));
  }
  return Translator(pattern).Run();
}

Regex::Scratch::Scratch()
    : data_(pcre2_match_data_create_8(1, nullptr)),
      context_(pcre2_match_context_create_8(nullptr)),
      stack_(pcre2_jit_stack_create_8(kJitStackMin, kJitStackMax, nullptr)) {
  SWAGE_CHECK(data_ != nullptr && context_ != nullptr, "out of memory");
  pcre2_set_match_limit_8(context_, kMatchLimit);
  if (stack_ != nullptr) pcre2_jit_stack_assign_8(context_, nullptr, stack_);
}

Regex::Scratch::~Scratch() {
  pcre2_jit_stack_free_8(stack_);
  pcre2_match_context_free_8(context_);
  pcre2_match_data_free_8(data_);
}

StatusOr<Regex> Regex::Compile(std::string_view pattern) {
  SWAGE_ASSIGN_OR_RETURN(const std::string translated, TranslatePattern(pattern));
  return CompileTranslated(translated);
}

StatusOr<Regex> Regex::GraphemeCluster() { return CompileTranslated("\\X"); }

StatusOr<Regex> Regex::CompileTranslated(std::string_view translated) {
  pcre2_compile_context_8* context = pcre2_compile_context_create_8(nullptr);
  SWAGE_CHECK(context != nullptr, "out of memory");
  pcre2_set_newline_8(context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit_8(context, 100);
  int error = 0;
  size_t where = 0;
  pcre2_code_8* code = pcre2_compile_8(
      reinterpret_cast<PCRE2_SPTR8>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &where, context);
  pcre2_compile_context_free_8(context);
  if (code == nullptr) {
    unsigned char message[256] = {};
    pcre2_get_error_message_8(error, message, sizeof message);
    return InvalidInput("TOKENIZER_REGEX",
                        Cat("the tokenizer's pattern ", translated.substr(0, 200),
                            " does not compile: ", std::string(reinterpret_cast<char*>(message))),
                        "check tokenizer.json");
  }
  // Without JIT (a machine that forbids executable memory) the interpreter gives the same matches,
  // more slowly.
  pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE);
  return Regex(code);
}

Regex::Regex(Regex&& other) noexcept : code_(std::exchange(other.code_, nullptr)) {}

Regex& Regex::operator=(Regex&& other) noexcept {
  std::swap(code_, other.code_);
  return *this;
}

Regex::~Regex() { pcre2_code_free_8(code_); }

bool Regex::Find(std::string_view text, size_t from, Scratch* scratch, size_t* begin,
                 size_t* end) const {
  const auto* subject = reinterpret_cast<PCRE2_SPTR8>(text.data());
  int rc = pcre2_match_8(code_, subject, text.size(), from, PCRE2_NO_UTF_CHECK, scratch->data_,
                         scratch->context_);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {  // the interpreter keeps its frames on the heap
    rc = pcre2_match_8(code_, subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                       scratch->data_, scratch->context_);
  }
  if (rc < 0) return false;
  const size_t* range = pcre2_get_ovector_pointer_8(scratch->data_);
  *begin = range[0];
  *end = range[1];
  return *begin <= *end;
}

}  // namespace swage
