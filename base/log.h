// Logging to stderr through spdlog, kept behind this header. One line an event, key=value where it helps.
#pragma once

#include <string>

#include "base/text.h"

namespace swage {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

void SetLogLevel(LogLevel level);
void SetLogName(const std::string& process_name);  // shown in each line
void LogLine(LogLevel level, const std::string& text);

template <typename... Args>
void LogDebug(const Args&... args) { LogLine(LogLevel::kDebug, Cat(args...)); }
template <typename... Args>
void LogInfo(const Args&... args) { LogLine(LogLevel::kInfo, Cat(args...)); }
template <typename... Args>
void LogWarning(const Args&... args) { LogLine(LogLevel::kWarning, Cat(args...)); }
template <typename... Args>
void LogError(const Args&... args) { LogLine(LogLevel::kError, Cat(args...)); }

}  // namespace swage
