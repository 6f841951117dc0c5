#include "base/fault_hold.h"

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/text.h"

namespace swage {

int HoldMillis(std::string_view spec, std::string_view stage) {
  constexpr int kLongestMs = 600000;
  for (const std::string& entry : Split(spec, ',')) {
    const size_t colon = entry.rfind(':');
    if (colon == std::string::npos) continue;
    const std::string_view name = Trim(std::string_view(entry).substr(0, colon));
    const std::string_view digits = Trim(std::string_view(entry).substr(colon + 1));
    const bool named = name == stage || (name == "block" && stage.starts_with("block["));
    if (!named) continue;
    int millis = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), millis);
    if (error != std::errc() || end != digits.data() + digits.size() || millis < 0) return 0;
    return millis < kLongestMs ? millis : kLongestMs;
  }
  return 0;
}

void HoldAt(std::string_view stage) {
  static const std::string* spec = [] {
    const char* value = std::getenv("SWAGE_HOLD");
    return value != nullptr && *value != '\0' ? new std::string(value) : nullptr;
  }();
  if (spec == nullptr) return;
  const int millis = HoldMillis(*spec, stage);
  if (millis > 0) std::this_thread::sleep_for(std::chrono::milliseconds(millis));
}

}  // namespace swage
