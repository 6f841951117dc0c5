// The version of this build, as servers tell it.
#pragma once

#include <string_view>

namespace swage {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace swage
