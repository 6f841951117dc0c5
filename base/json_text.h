// JSON written straight into a string, for what is written thousands of times a second.
#pragma once

#include <string>
#include <string_view>

namespace swage {

bool IsUtf8(std::string_view text);
// Appends `text` as a JSON string, escaped as docs/formats/manifest.md says. Bytes that are not UTF-8 become U+FFFD.
void AppendJsonString(std::string_view text, std::string* out);

}  // namespace swage
