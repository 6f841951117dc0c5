// Progress on a terminal (one line, redrawn) or in a log (plain lines: one a stage, then at most one in five seconds).
//
//   [#########---------------]  38 %  block[2]  12.3 s left
//
// One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace swage {

struct ProgressStyle {
  bool terminal = false;
  bool color = false;
  int columns = 80;
};

// Of stderr: TERM, NO_COLOR and the window's width taken into account.
ProgressStyle StderrStyle(bool want_color);

class ProgressDisplay {
 public:
  using Writer = std::function<void(std::string_view)>;
  ProgressDisplay(const ProgressStyle& style, Clock* clock, Writer writer);
  ~ProgressDisplay();  // ends the line

  // `fraction` in [0, 1]; `eta_seconds` < 0: not known; `detail` may be empty.
  void Update(std::string_view stage, double fraction, double eta_seconds, std::string_view detail);
  void Note(std::string_view line);  // a line of its own, above the bar
  void Finish();                     // leaves the last bar standing

 private:
  std::string Bar(std::string_view stage, double fraction, double eta_seconds, std::string_view detail) const;

  const ProgressStyle style_;
  Clock* const clock_;
  const Writer writer_;
  bool line_open_ = false;
  std::string last_stage_, last_bar_;
  int64_t last_nanos_ = 0;
};

// Estimates what is left from what was done: for transfers, whose server tells no time.
class EtaMeter {
 public:
  explicit EtaMeter(Clock* clock) : clock_(clock), start_nanos_(clock->MonotonicNanos()) {}
  double EtaSeconds(double fraction) const;  // < 0 before there is anything to go by
  double Seconds() const;

 private:
  Clock* clock_;
  int64_t start_nanos_;
};

}  // namespace swage
