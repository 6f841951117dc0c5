#include "clients/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/text.h"

namespace swage {
namespace {

constexpr int64_t kRedrawNanos = 100 * 1000000LL;
constexpr int64_t kPlainNanos = 5000 * 1000000LL;
constexpr int kBarCells = 24;

std::string Left(double eta_seconds) { return eta_seconds < 0 ? "" : Cat(HumanSeconds(eta_seconds), " left"); }

}  // namespace

ProgressStyle StderrStyle(bool want_color) {
  ProgressStyle style;
  const char* term = std::getenv("TERM");
  style.terminal = isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
  style.color = style.terminal && want_color && std::getenv("NO_COLOR") == nullptr;
  winsize size{};
  if (style.terminal && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) style.columns = size.ws_col;
  return style;
}

ProgressDisplay::ProgressDisplay(const ProgressStyle& style, Clock* clock, Writer writer)
    : style_(style), clock_(clock), writer_(std::move(writer)) {}

ProgressDisplay::~ProgressDisplay() { Finish(); }

std::string ProgressDisplay::Bar(std::string_view stage, double fraction, double eta_seconds,
                                 std::string_view detail) const {
  const int filled = static_cast<int>(fraction * kBarCells);
  std::string text = Cat("[", std::string(filled, '#'), std::string(kBarCells - filled, '-'), "] ");
  char percent[8];
  std::snprintf(percent, sizeof percent, "%3d %%", static_cast<int>(fraction * 100));
  text += percent;
  for (const std::string& part : {std::string(stage), Left(eta_seconds), std::string(detail)}) {
    if (!part.empty()) text += "  " + part;
  }
  const size_t room = static_cast<size_t>(std::max(style_.columns, 20)) - 1;
  if (text.size() > room) text.resize(room);  // a wrapped line could not be redrawn
  if (style_.color) text = Cat("\x1b[36m", text.substr(0, kBarCells + 2), "\x1b[0m", text.substr(kBarCells + 2));
  return text;
}

void ProgressDisplay::Update(std::string_view stage, double fraction, double eta_seconds, std::string_view detail) {
  if (!std::isfinite(fraction)) fraction = 0;
  fraction = std::clamp(fraction, 0.0, 1.0);
  const int64_t now = clock_->MonotonicNanos();
  const bool new_stage = stage != last_stage_;
  const bool due = now - last_nanos_ >= (style_.terminal ? kRedrawNanos : kPlainNanos);
  if (!new_stage && !due && fraction < 1) return;
  const std::string bar = Bar(stage, fraction, eta_seconds, detail);
  if (bar == last_bar_) return;
  last_stage_ = stage;
  last_nanos_ = now;
  last_bar_ = bar;
  if (style_.terminal) {
    writer_(Cat("\r\x1b[K", bar));
    line_open_ = true;
    return;
  }
  std::string line = Cat(static_cast<int>(fraction * 100), " %  ", stage);
  if (eta_seconds >= 0) line += "  " + Left(eta_seconds);
  if (!detail.empty()) line += Cat("  ", detail);
  writer_(line + "\n");
}

void ProgressDisplay::Note(std::string_view line) {
  writer_(Cat(line_open_ ? "\r\x1b[K" : "", line, "\n"));
  if (line_open_) writer_(last_bar_);
}

void ProgressDisplay::Finish() {
  if (line_open_) writer_("\n");
  line_open_ = false;
}

double EtaMeter::Seconds() const { return static_cast<double>(clock_->MonotonicNanos() - start_nanos_) * 1e-9; }

double EtaMeter::EtaSeconds(double fraction) const {
  const double seconds = Seconds();
  if (fraction <= 0 || seconds < 0.5) return -1;
  return seconds * (1 - std::min(fraction, 1.0)) / fraction;
}

}  // namespace swage
