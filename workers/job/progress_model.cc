#include "workers/job/progress_model.h"

#include <algorithm>

namespace swage {

void ProgressModel::Add(const std::string& stage, const std::string& kind, double guessed_seconds) {
  stages_.push_back({stage, kind, std::max(guessed_seconds, 1e-3)});
}

void ProgressModel::Begin(const std::string& stage) {
  begun_ = clock_->MonotonicNanos();
  running_ = true;
  for (current_ = 0; current_ < stages_.size() && stages_[current_].name != stage; ++current_) {
  }
  if (current_ == stages_.size()) Add(stage, stage, 1e-3);  // a stage that nobody announced
}

void ProgressModel::Advance(double part) {
  stages_[current_].done = std::clamp(part, stages_[current_].done, 1.0);
}

void ProgressModel::Finish() {
  Stage& stage = stages_[current_];
  stage.done = 1;
  running_ = false;
  seconds_[stage.kind] += static_cast<double>(clock_->MonotonicNanos() - begun_) * 1e-9;
  guessed_[stage.kind] += stage.guess;
}

void ProgressModel::Skip(const std::string& stage) {
  for (Stage& s : stages_) {
    if (s.name == stage) s.done = 1, s.skipped = true;
  }
}

double ProgressModel::Scale(const std::string& kind) const {
  auto finished = seconds_.find(kind);
  double seconds = finished == seconds_.end() ? 0 : finished->second;
  double guessed = finished == seconds_.end() ? 0 : guessed_.at(kind);
  if (running_ && stages_[current_].kind == kind && stages_[current_].done > 0) {
    seconds += static_cast<double>(clock_->MonotonicNanos() - begun_) * 1e-9;
    guessed += stages_[current_].done * stages_[current_].guess;
  }
  return guessed > 0 ? seconds / guessed : 1;
}

double ProgressModel::Remaining() const {
  double remaining = 0;
  for (const Stage& stage : stages_)
    remaining += (1 - stage.done) * stage.guess * Scale(stage.kind);
  return remaining;
}

double ProgressModel::Fraction() {
  const double elapsed = static_cast<double>(clock_->MonotonicNanos() - started_) * 1e-9;
  const double remaining = Remaining();
  const bool all =
      std::all_of(stages_.begin(), stages_.end(), [](const Stage& s) { return s.done >= 1; });
  const double now = all ? 1 : std::min(elapsed / (elapsed + remaining + 1e-9), 0.999);
  fraction_ = std::max(fraction_, now);
  return fraction_;
}

double ProgressModel::EtaSeconds() const {
  const bool measured = !seconds_.empty() || (running_ && stages_[current_].done > 0);
  return measured ? Remaining() : -1;
}

}  // namespace swage
