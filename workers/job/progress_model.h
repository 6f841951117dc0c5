// How far a job is and how long it will still take. Stages come with a guess of their seconds; what
// a kind of stage has really taken replaces the guess for the rest of that kind.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/clock.h"

namespace swage {

class ProgressModel {
 public:
  explicit ProgressModel(Clock* clock) : clock_(clock), started_(clock->MonotonicNanos()) {}
  void Add(const std::string& stage, const std::string& kind, double guessed_seconds);
  void Begin(const std::string& stage);
  void Advance(double part);            // of the stage begun last, in [0, 1]
  void Finish();                        // of that stage
  void Skip(const std::string& stage);  // done by an earlier attempt

  double Fraction();  // of the whole job; never decreases, below 1 until all stages are finished
  double EtaSeconds() const;  // < 0 while nothing has been measured

 private:
  struct Stage {
    std::string name, kind;
    double guess = 0, done = 0;
    bool skipped = false;
  };
  double Remaining() const;
  double Scale(const std::string& kind) const;  // measured seconds per guessed one

  Clock* clock_;
  int64_t started_, begun_ = 0;
  std::vector<Stage> stages_;
  size_t current_ = 0;
  bool running_ = false;
  std::map<std::string, double> seconds_, guessed_;  // of finished stages, by kind
  double fraction_ = 0;
};

}  // namespace swage
