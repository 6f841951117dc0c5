#include "workers/runtime/tokenizer_normalize.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "base/text.h"
#include "workers/runtime/tokenizer_decode.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

// A generated table: "field field..;" rows of hexadecimal numbers, the first maybe "c+n".
struct TableRow {
  uint32_t first = 0, count = 1;
  std::vector<uint32_t> rest;
};

template <typename Use>
void ForEachRow(const char* table, Use use) {
  const char* at = table;
  const char* const end = table + std::char_traits<char>::length(table);
  const auto number = [&] {
    uint32_t value = 0;
    at = std::from_chars(at, end, value, 16).ptr;
    return value;
  };
  while (at < end) {
    TableRow row;
    row.first = number();
    if (*at == '+') {
      ++at;
      row.count = number();
    }
    while (*at == ' ') {
      ++at;
      row.rest.push_back(number());
    }
    ++at;  // ';'
    use(row);
  }
}

using Mapping = absl::flat_hash_map<uint32_t, std::u32string>;

void AddMapping(const char* table, Mapping* mapping) {
  ForEachRow(table, [&](const TableRow& row) {
    for (uint32_t i = 0; i < row.count; ++i) {
      std::u32string to(row.rest.begin(), row.rest.end());
      if (row.count > 1) to[0] += i;
      (*mapping)[row.first + i] = std::move(to);
    }
  });
}

std::vector<uint8_t> ReadValues(const char* table) {
  std::vector<uint8_t> values(0x110000, 0);
  ForEachRow(table, [&](const TableRow& row) {
    for (uint32_t c = row.first; c <= row.rest[0]; ++c)
      values[c] = static_cast<uint8_t>(row.rest[1]);
  });
  return values;
}

// Hangul syllables are composed by arithmetic (Unicode Standard, section 3.12).
constexpr uint32_t kSyllables = 0xAC00, kLeading = 0x1100, kVowels = 0x1161, kTrailing = 0x11A7,
                   kVowelCount = 21, kTrailingCount = 28, kSyllableCount = 11172;

struct UnicodeData {
  UnicodeData() {
    AddMapping(unicode_tables::Canonical(), &canonical);
    compatible = canonical;
    AddMapping(unicode_tables::Compatible(), &compatible);
    combining_class = ReadValues(unicode_tables::CombiningClasses());
    AddCompositions();
    FindSafe();
  }

  // Full decompositions, the shorter first, so that the composite of a longer one's beginning is
  // known.
  void AddCompositions() {
    const std::vector<uint8_t> excluded = ReadValues(unicode_tables::NotComposed());
    std::vector<std::pair<std::u32string_view, uint32_t>> rows;
    for (const auto& [c, to] : canonical) {
      if (to.size() > 1 && !excluded[c]) rows.emplace_back(to, c);
    }
    std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
      return a.first.size() != b.first.size() ? a.first.size() < b.first.size() : a < b;
    });
    for (const auto& [to, c] : rows) {
      uint32_t left = to[0];
      for (size_t i = 1; i + 1 < to.size(); ++i) {
        const auto found = composed.find(uint64_t{left} << 32 | to[i]);
        if (found != composed.end()) left = found->second;
      }
      composed[uint64_t{left} << 32 | to.back()] = c;
    }
  }

  // Per form: the character stays as it is whatever follows a safe one, and nothing before it
  // changes it.
  void FindSafe() {
    std::vector<bool> is_composite(0x110000, false);
    for (const auto& [pair, c] : composed) is_composite[c] = true;
    for (int form = 0; form < 4; ++form) {
      const bool compose = form == 0 || form == 2;
      std::vector<bool>& is_safe = safe[form];
      is_safe.assign(0x110000, true);
      for (uint32_t c = 0; c < 0x110000; ++c) {
        if (combining_class[c] != 0) is_safe[c] = false;
      }
      for (const auto& [c, to] : form < 2 ? canonical : compatible) {
        const auto whole = canonical.find(c);
        const bool stays =
            compose && is_composite[c] && whole != canonical.end() && whole->second == to;
        if (!stays) is_safe[c] = false;
      }
      for (const auto& [pair, c] : composed) {
        if (compose) is_safe[pair & 0xFFFFFFFFu] = false;
      }
      for (uint32_t c = 0; c < kSyllableCount && !compose; ++c) is_safe[kSyllables + c] = false;
      for (uint32_t c = 0; c < 0x100 && compose; ++c) is_safe[kLeading + c] = false;
    }
  }

  static const UnicodeData& Get() {
    static const UnicodeData data;
    return data;
  }

  Mapping canonical, compatible;
  std::vector<uint8_t> combining_class;
  absl::flat_hash_map<uint64_t, uint32_t> composed;  // first << 32 | second
  std::vector<bool> safe[4];                         // by form
};

void Decompose(const Mapping& mapping, uint32_t c, std::u32string* out) {
  if (c >= kSyllables && c < kSyllables + kSyllableCount) {
    const uint32_t index = c - kSyllables;
    out->push_back(kLeading + index / (kVowelCount * kTrailingCount));
    out->push_back(kVowels + index % (kVowelCount * kTrailingCount) / kTrailingCount);
    if (index % kTrailingCount != 0) out->push_back(kTrailing + index % kTrailingCount);
    return;
  }
  const auto found = mapping.find(c);
  if (found == mapping.end()) {
    out->push_back(c);
  } else {
    out->append(found->second);
  }
}

uint32_t ComposePair(const UnicodeData& data, uint32_t first, uint32_t second) {  // 0: none
  if (first >= kLeading && first < kLeading + 19 && second >= kVowels &&
      second < kVowels + kVowelCount)
    return kSyllables + ((first - kLeading) * kVowelCount + second - kVowels) * kTrailingCount;
  if (first >= kSyllables && first < kSyllables + kSyllableCount &&
      (first - kSyllables) % kTrailingCount == 0 && second > kTrailing &&
      second < kTrailing + kTrailingCount)
    return first + second - kTrailing;
  const auto found = data.composed.find(uint64_t{first} << 32 | second);
  return found == data.composed.end() ? 0 : found->second;
}

void Compose(const UnicodeData& data, std::u32string* text) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t starter = kNone, out = 0;
  int last_class = -1;  // of what stands between the starter and here; -1: nothing
  for (size_t i = 0; i < text->size(); ++i) {
    const uint32_t c = (*text)[i];
    const int its_class = data.combining_class[c];
    if (starter != kNone && last_class < its_class) {
      if (const uint32_t whole = ComposePair(data, (*text)[starter], c)) {
        (*text)[starter] = whole;
        continue;
      }
    }
    if (its_class == 0) {
      starter = out;
      last_class = -1;
    } else {
      last_class = its_class;
    }
    (*text)[out++] = c;
  }
  text->resize(out);
}

// One stretch that begins with a safe character, or at the beginning of the text.
void NormalizeStretch(const UnicodeData& data, UnicodeForm form, std::string_view stretch,
                      std::u32string* scratch, std::string* out) {
  const bool compatible = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  scratch->clear();
  for (size_t at = 0; at < stretch.size(); at += Utf8SequenceAt(stretch, at))
    Decompose(compatible ? data.compatible : data.canonical, DecodeUtf8At(stretch, at), scratch);
  const auto class_of = [&](char32_t c) { return data.combining_class[c]; };
  for (size_t i = 0; i < scratch->size();) {
    size_t end = i + 1;
    if (class_of((*scratch)[i]) != 0) {
      while (end < scratch->size() && class_of((*scratch)[end]) != 0) ++end;
      std::stable_sort(scratch->begin() + static_cast<std::ptrdiff_t>(i),
                       scratch->begin() + static_cast<std::ptrdiff_t>(end),
                       [&](char32_t a, char32_t b) { return class_of(a) < class_of(b); });
    }
    i = end;
  }
  if (form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc) Compose(data, scratch);
  for (const char32_t c : *scratch) AppendUtf8(c, out);
}

// Calls `use` with each character and its bytes.
template <typename Use>
void ForEachCharacter(std::string_view text, Use use) {
  for (size_t at = 0; at < text.size();) {
    const size_t size = std::max<size_t>(1, Utf8SequenceAt(text, at));
    use(DecodeUtf8At(text, at), text.substr(at, size));
    at += size;
  }
}

std::string Stripped(const NormalizerStep::Strip& strip, std::string_view text) {
  size_t begin = 0, end = 0;
  bool any = false;
  for (size_t at = 0; at < text.size(); at += Utf8SequenceAt(text, at)) {
    if (IsWhiteSpace(DecodeUtf8At(text, at))) continue;
    if (!any) begin = at;
    any = true;
    end = at + Utf8SequenceAt(text, at);
  }
  if (!strip.left) begin = 0;
  if (!strip.right) end = text.size();
  // Only white space: either side takes it all.
  return any || (!strip.left && !strip.right) ? std::string(text.substr(begin, end - begin)) : "";
}

std::string NmtCleaned(std::string_view text) {
  std::string out;
  ForEachCharacter(text, [&](uint32_t c, std::string_view bytes) {
    const bool dropped = (c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
                         c == 0x8F || c == 0x9F;
    if (dropped) return;
    const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                       (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                       c == 0xFEFF || c == 0xFFFD;
    out.append(space ? std::string_view(" ") : bytes);
  });
  return out;
}

std::string Apply(const NormalizerStep& step, std::string_view text) {
  struct Visitor {
    std::string_view text;
    std::string operator()(const NormalizerStep::Prepend& p) const {
      return text.empty() ? std::string() : Cat(p.text, text);
    }
    std::string operator()(const NormalizerStep::Replace& r) const {
      return ReplaceAll(r.regex, r.literal, r.with, text);
    }
    std::string operator()(const NormalizerStep::Strip& s) const { return Stripped(s, text); }
    std::string operator()(UnicodeForm form) const { return ToUnicodeForm(form, text); }
    std::string operator()(NormalizerStep::Lowercase) const { return ToLowercase(text); }
    std::string operator()(NormalizerStep::StripAccents) const { return WithoutMarks(text); }
    std::string operator()(NormalizerStep::Nmt) const { return NmtCleaned(text); }
    std::string operator()(NormalizerStep::ByteLevel) const { return ToByteAlphabet(text); }
    std::string operator()(const Charsmap& map) const { return map.Apply(text); }
  };
  return std::visit(Visitor{text}, step.what);
}

}  // namespace

std::string ToUnicodeForm(UnicodeForm form, std::string_view text) {
  const UnicodeData& data = UnicodeData::Get();
  const std::vector<bool>& safe = data.safe[static_cast<int>(form)];
  std::string out;
  out.reserve(text.size());
  std::u32string scratch;
  // [done, at) is unchanged so far; `start`: its last character, where a stretch would begin.
  size_t done = 0, start = 0;
  for (size_t at = 0; at < text.size();) {
    if (static_cast<uint8_t>(text[at]) < 0x80) {
      start = at++;
      continue;
    }
    const size_t size = std::max<size_t>(1, Utf8SequenceAt(text, at));
    if (safe[DecodeUtf8At(text, at)]) {
      start = at;
      at += size;
      continue;
    }
    size_t end = at + size;
    while (end < text.size() && !safe[DecodeUtf8At(text, end)]) end += Utf8SequenceAt(text, end);
    start = std::max(start, done);
    out.append(text.substr(done, start - done));
    NormalizeStretch(data, form, text.substr(start, end - start), &scratch, &out);
    done = at = start = end;
  }
  return out.append(text.substr(done));
}

std::string ToLowercase(std::string_view text) {
  static const Mapping mapping = [] {
    Mapping m;
    AddMapping(unicode_tables::Lowercase(), &m);
    return m;
  }();
  std::string out;
  out.reserve(text.size());
  ForEachCharacter(text, [&](uint32_t c, std::string_view bytes) {
    if (c < 0x80) {
      out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c));
      return;
    }
    const auto found = mapping.find(c);
    if (found == mapping.end()) {
      out.append(bytes);
    } else {
      for (const char32_t lower : found->second) AppendUtf8(lower, &out);
    }
  });
  return out;
}

std::string WithoutMarks(std::string_view text) {
  static const std::vector<uint8_t> marks = ReadValues(unicode_tables::Marks());
  std::string out;
  ForEachCharacter(text, [&](uint32_t c, std::string_view bytes) {
    if (!marks[c]) out.append(bytes);
  });
  return out;
}

const std::string& PunctuationClass() {
  static const std::string items = [] {
    std::string text;
    const auto put = [&](uint32_t c) {
      char hex[16];
      const auto [end, error] = std::to_chars(hex, hex + sizeof hex, c, 16);
      text += Cat("\\x{", std::string(hex, end), "}");
    };
    ForEachRow(unicode_tables::Punctuation(), [&](const TableRow& row) {
      put(row.first);
      text += "-";
      put(row.rest[0]);
    });
    return text;
  }();
  return items;
}

std::string_view Normalizer::Run(std::string_view text, std::string* storage) const {
  for (const NormalizerStep& step : steps_) {
    // Unicode's forms leave ASCII alone.
    if (std::holds_alternative<UnicodeForm>(step.what) &&
        std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; }))
      continue;
    std::string changed = Apply(step, text);
    *storage = std::move(changed);
    text = *storage;
  }
  return text;
}

bool Normalizer::may_drop() const {
  return std::any_of(steps_.begin(), steps_.end(), [](const NormalizerStep& step) {
    const auto* replace = std::get_if<NormalizerStep::Replace>(&step.what);
    if (replace != nullptr) return replace->with.empty();
    return !std::holds_alternative<NormalizerStep::Prepend>(step.what) &&
           !std::holds_alternative<UnicodeForm>(step.what) &&
           !std::holds_alternative<NormalizerStep::Lowercase>(step.what);
  });
}

double Normalizer::growth() const {
  struct Visitor {
    double operator()(const NormalizerStep::Prepend&) const { return 1; }
    double operator()(const NormalizerStep::Replace& r) const {
      const double with = static_cast<double>(r.with.size());
      return r.literal.empty() ? 1 + with : with / static_cast<double>(r.literal.size());
    }
    double operator()(const NormalizerStep::Strip&) const { return 1; }
    double operator()(UnicodeForm) const { return 11; }  // U+FDFA: 3 bytes become 33
    double operator()(NormalizerStep::Lowercase) const { return 2; }
    double operator()(NormalizerStep::StripAccents) const { return 1; }
    double operator()(NormalizerStep::Nmt) const { return 1; }
    double operator()(NormalizerStep::ByteLevel) const { return 2; }
    double operator()(const Charsmap& map) const { return static_cast<double>(map.longest()); }
  };
  double growth = 1;
  std::set<size_t> seen;  // what changes nothing when it is done again counts once
  for (const NormalizerStep& step : steps_) {
    const bool replaces = std::holds_alternative<NormalizerStep::Replace>(step.what) ||
                          std::holds_alternative<NormalizerStep::ByteLevel>(step.what);
    if (!seen.insert(step.what.index()).second && !replaces) continue;
    growth *= std::max(1.0, std::visit(Visitor{}, step.what));
  }
  return growth;
}

}  // namespace swage
