#include "clients/cli/console.h"

#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "clients/cli/exit_code.h"

namespace swage {
namespace {

size_t Width(std::string_view text) {
  size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return width;
}

}  // namespace

void TextTable::AddRow(std::vector<std::string> cells) {
  SWAGE_CHECK(cells.size() == columns_.size(), "a row of ", cells.size(), " cells");
  rows_.push_back(std::move(cells));
}

std::string TextTable::ToString() const {
  std::vector<size_t> widths;
  std::vector<std::string> titles;
  for (const Column& column : columns_) {
    titles.push_back(column.title);
    widths.push_back(Width(column.title));
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string out;
  const auto add_row = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      const std::string pad(widths[i] - Width(row[i]), ' ');
      line += columns_[i].align == Align::kRight ? pad + row[i] : row[i] + pad;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  add_row(titles);
  for (const auto& row : rows_) add_row(row);
  return out;
}

std::string ErrorText(const Status& status) {
  std::string text = Cat("error: ", Printable(MessageOf(status)));
  if (const std::string reason = ReasonOf(status); !reason.empty()) text += Cat(" (", Printable(reason), ")");
  text += "\n";
  if (const std::string next = NextStepOf(status); !next.empty()) text += Cat("  do this: ", Printable(next), "\n");
  return text;
}

std::string ErrorJson(const Status& status) {
  const nlohmann::ordered_json error = {{"code", CodeName(status.code())},
                                        {"reason", ReasonOf(status)},
                                        {"message", MessageOf(status)},
                                        {"next_step", NextStepOf(status)},
                                        {"exit_code", ExitCodeOf(status)}};
  return nlohmann::ordered_json{{"error", error}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
         "\n";
}

std::string_view CodeName(StatusCode code) {
  static constexpr std::string_view kNames[] = {
      "OK",           "CANCELLED",         "UNKNOWN",        "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",   "NOT_FOUND",
      "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
      "UNIMPLEMENTED", "INTERNAL",          "UNAVAILABLE",    "DATA_LOSS",        "UNAUTHENTICATED"};
  const auto index = static_cast<size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "UNKNOWN";
}

void PrintOut(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void PrintErr(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

std::string Printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const auto u = static_cast<unsigned char>(c);
    if ((u < 0x20 && c != '\n' && c != '\t') || u == 0x7f) c = '?';
  }
  return out;
}

std::string ShortDigest(const std::string& hex) { return hex.substr(0, 12); }

std::string LocalTime(int64_t unix_nanos) {
  if (unix_nanos <= 0) return "-";
  const std::time_t seconds = unix_nanos / 1000000000;
  std::tm parts{};
  localtime_r(&seconds, &parts);
  char buffer[32];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S", &parts);
  return buffer;
}

}  // namespace swage
