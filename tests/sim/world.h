// Simulated time: a heap of events, and random streams that do not disturb each other. One thread;
// the same seed gives the same history, whether it is written down or not.
//
//   world.After(5 * kSecond, [&] { world.Note("five seconds later"); });
//   while (world.violation().empty() && world.Step()) {
//   }
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "base/text.h"

namespace swage::sim {

inline constexpr int64_t kMillisecond = 1'000'000, kSecond = 1'000'000'000, kMinute = 60 * kSecond;
inline constexpr int64_t kHour = 60 * kMinute;

// [low, high], and a yes with this probability.
int64_t Between(Rng* rng, int64_t low, int64_t high);
bool Chance(Rng* rng, double probability);
// Of a Poisson process: the time to the next event, at least one nanosecond.
int64_t NextOf(Rng* rng, double per_hour);

struct Violation {
  std::string rule;  // "G3": what was promised (reference/platform.md 1.7), or "crash", "liveness"
  std::string what;
  int64_t at = 0;
  bool empty() const { return rule.empty(); }
};

class World {
 public:
  World(uint64_t seed, bool traced) : seed_(seed), traced_(traced) {}

  int64_t now() const { return now_; }
  uint64_t seed() const { return seed_; }
  // A source of its own for each name: when one part draws more or less, the others draw the same.
  Rng Stream(std::string_view name) const;

  void After(int64_t delay, std::function<void()> event);
  bool Step();  // the next event; false: there is none

  // The safety phase: faults may happen. Then the liveness phase: none does.
  bool faults() const { return faults_; }
  void EndFaults() { faults_ = false; }
  uint64_t steps() const { return steps_; }

  bool traced() const { return traced_; }
  template <typename... Args>
  void Note(const Args&... args) {
    if (traced_) AddNote(Cat(args...));
  }
  // The first violation is kept; the simulation stops at it.
  void Fail(std::string_view rule, const std::string& what);
  const Violation& violation() const { return violation_; }
  const std::deque<std::string>& trace() const { return trace_; }

 private:
  struct Event {
    int64_t at = 0;
    uint64_t order = 0;
    std::function<void()> run;
  };
  static bool Later(const Event& a, const Event& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }
  void AddNote(const std::string& text);

  const uint64_t seed_;
  const bool traced_;
  int64_t now_ = kSecond;
  uint64_t next_ = 0, steps_ = 0;
  bool faults_ = true;
  std::vector<Event> events_;  // a heap, the earliest first
  Violation violation_;
  std::deque<std::string> trace_;
};

// The clock of one machine. Its wall time can be set; a worker's monotonic clock may also run fast
// or slow.
class SimClock : public Clock {
 public:
  explicit SimClock(const World* world) : world_(world) {}
  int64_t MonotonicNanos() override {
    return base_local_ +
           static_cast<int64_t>(rate_ * static_cast<double>(world_->now() - base_world_));
  }
  int64_t UnixNanos() override {
    return 1'700'000'000 * kSecond + world_->now() + wall_offset_;
  }
  void SetWall(int64_t offset_nanos) { wall_offset_ = offset_nanos; }
  void SetRate(double rate) {
    base_local_ = MonotonicNanos();
    base_world_ = world_->now();
    rate_ = rate;
  }
  // How long the world takes while this clock counts so much.
  int64_t WorldNanos(int64_t local) const {
    return static_cast<int64_t>(static_cast<double>(local) / rate_);
  }

 private:
  const World* world_;
  double rate_ = 1;
  int64_t base_local_ = 0, base_world_ = 0, wall_offset_ = 0;
};

}  // namespace swage::sim
