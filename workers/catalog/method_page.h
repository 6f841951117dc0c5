// The page of a method in docs/methods, written from its catalog row alone. A test compares it with
// the file.
#pragma once

#include <string>
#include <string_view>

#include "workers/catalog/catalog.h"

namespace swage {

std::string MethodPage(const MethodRow& row);      // Markdown
std::string_view OptionTypeName(OptionType type);  // "integer", "number", ...
// What an option may be, for people: "0 to 1", "f32, bf16", "true or false".
std::string AllowedValues(const OptionRow& option);

}  // namespace swage
