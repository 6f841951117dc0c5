// Simulated time: a heap of events, one random source, and a network that delays, loses, doubles
// and reorders. One thread; the same seed gives the same history.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <queue>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "base/text.h"

namespace swage::sim {

inline constexpr int64_t kMillisecond = 1'000'000, kSecond = 1'000'000'000, kMinute = 60 * kSecond;

class World {
 public:
  World(uint64_t seed, bool traced) : rng_(seed, 1), traced_(traced) {}

  int64_t now() const { return now_; }
  Rng& rng() { return rng_; }
  bool Chance(double probability) { return rng_.UniformDouble() < probability; }
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(rng_.Uniform(static_cast<uint64_t>(high - low + 1)));
  }

  void After(int64_t delay, std::function<void()> event) {
    events_.push({now_ + delay, next_++, std::move(event)});
  }
  bool Step();  // the next event; false: there is none

  // A message from or to this node. While faults are on it may come late, twice, or never.
  void Send(const std::string& node, const std::function<void()>& deliver);
  void Cut(const std::string& node, bool cut) {
    cut ? (void)cut_.insert(node) : (void)cut_.erase(node);
  }
  void SetFaults(bool on);
  bool faults() const { return faults_; }
  void CountFault() { ++fault_count_; }
  uint64_t fault_count() const { return fault_count_; }
  uint64_t steps() const { return steps_; }

  template <typename... Args>
  void Note(const Args&... args) {
    if (traced_) AddNote(Cat(args...));
  }
  // The first violation is kept; the simulation stops at it.
  void Fail(const std::string& what);
  const std::string& violation() const { return violation_; }
  const std::deque<std::string>& trace() const { return trace_; }

 private:
  struct Event {
    int64_t at;
    uint64_t order;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return std::tie(at, order) > std::tie(other.at, other.order);
    }
  };
  void AddNote(const std::string& text);

  Rng rng_;
  const bool traced_;
  int64_t now_ = kSecond;
  uint64_t next_ = 0, steps_ = 0, fault_count_ = 0;
  bool faults_ = true;
  std::priority_queue<Event> events_;
  std::set<std::string> cut_;
  std::string violation_;
  std::deque<std::string> trace_;
};

class SimClock : public Clock {
 public:
  explicit SimClock(const World* world) : world_(world) {}
  int64_t MonotonicNanos() override { return world_->now(); }
  int64_t UnixNanos() override { return 1'700'000'000 * kSecond + world_->now(); }

 private:
  const World* world_;
};

}  // namespace swage::sim
