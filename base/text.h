// Text building and splitting. Debian's Abseil has its own absl::string_view, which is not std's;
// Cat takes both, so that no caller has to convert.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace swage {

inline absl::string_view ToAbsl(std::string_view s) { return absl::string_view(s.data(), s.size()); }
inline std::string_view ToStd(absl::string_view s) { return std::string_view(s.data(), s.size()); }

namespace internal {
template <typename T>
decltype(auto) CatArg(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return absl::string_view(value ? "true" : "false");
  } else if constexpr (std::is_same_v<T, char>) {
    return std::string(1, value);
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return ToAbsl(std::string_view(value));
  } else {
    return (value);
  }
}
}  // namespace internal

template <typename... Args>
std::string Cat(const Args&... args) {
  return absl::StrCat(internal::CatArg(args)...);
}

std::vector<std::string> Split(std::string_view text, char separator);
std::string Join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view Trim(std::string_view text);  // ASCII white space at both ends
bool StartsWith(std::string_view text, std::string_view prefix);
bool EndsWith(std::string_view text, std::string_view suffix);

// Glob on module names: '*' matches any run of characters (dots too), '?' one; everything else itself.
bool GlobMatch(std::string_view pattern, std::string_view name);

// "did you mean": the candidate with the smallest edit distance to `word`, "" if none is near (distance <= 3).
std::string Nearest(std::string_view word, const std::vector<std::string>& candidates);

std::string HexLower(const void* data, size_t size);
std::string HumanBytes(double bytes);       // "11.5 MB" (decimal units)
std::string HumanSeconds(double seconds);   // "850 ms", "12.3 s", "4 min 05 s"

}  // namespace swage
