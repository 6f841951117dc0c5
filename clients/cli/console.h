// What a command says: results on stdout, errors and progress on stderr. One thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

enum class Align { kLeft, kRight };

// Columns as wide as their widest cell, two spaces between them. Widths count code points.
class TextTable {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void AddRow(std::vector<std::string> cells);  // exactly one cell a column
  std::string ToString() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "error: MESSAGE (REASON)\n  do this: NEXT STEP\n"
std::string ErrorText(const Status& status);
// {"error": {"code", "reason", "message", "next_step", "exit_code"}}
std::string ErrorJson(const Status& status);
std::string_view CodeName(StatusCode code);  // "INVALID_ARGUMENT"

void PrintOut(std::string_view text);  // stdout, flushed
void PrintErr(std::string_view text);  // stderr

// Text from elsewhere (a server's message, a file's name) made harmless for a terminal: control characters -> '?'.
std::string Printable(std::string_view text);

std::string ShortDigest(const std::string& hex);  // the first 12 digits
std::string LocalTime(int64_t unix_nanos);        // "2026-11-21 12:00:00", "-" for 0

}  // namespace swage
