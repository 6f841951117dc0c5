#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace swage {
namespace {

spdlog::logger& Logger() {
  // Never destroyed: threads may still log while the process ends.
  static auto* logger = new spdlog::logger("swage", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  static const bool ready = [] {
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%L%$ %P %v");
    logger->flush_on(spdlog::level::trace);
    return true;
  }();
  static_cast<void>(ready);
  return *logger;
}

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::err;
}

// A name from outside must not be able to forge a second line or to steer a terminal.
std::string OneLine(const std::string& text) {
  std::string line;
  line.reserve(text.size());
  for (const char c : text) {
    if (c == '\n') {
      line += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      line += "\\x" + HexLower(&c, 1);
    } else {
      line += c;
    }
  }
  return line;
}

}  // namespace

void SetLogLevel(LogLevel level) { Logger().set_level(LevelOf(level)); }

void SetLogName(const std::string& process_name) {
  std::string escaped;  // '%' is spdlog's own
  for (const char c : process_name) escaped += c == '%' ? std::string("%%") : std::string(1, c);
  Logger().set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%L%$ " + escaped + "[%P] %v");
}

void LogLine(LogLevel level, const std::string& text) {
  spdlog::logger& logger = Logger();
  if (logger.should_log(LevelOf(level))) logger.log(LevelOf(level), spdlog::string_view_t(OneLine(text)));
}

}  // namespace swage
