#include "tests/sim/world.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/digest.h"

namespace swage::sim {
namespace {

constexpr size_t kTraceLines = 200;

}  // namespace

int64_t Between(Rng* rng, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(rng->Uniform(static_cast<uint64_t>(high - low + 1)));
}

bool Chance(Rng* rng, double probability) { return rng->UniformDouble() < probability; }

int64_t NextOf(Rng* rng, double per_hour) {
  const double hours = -std::log(1.0 - rng->UniformDouble()) / per_hour;
  return static_cast<int64_t>(hours * static_cast<double>(kHour)) + 1;
}

Rng World::Stream(std::string_view name) const { return Rng(seed_, Xxh3_128(name).low); }

void World::After(int64_t delay, std::function<void()> event) {
  events_.push_back({now_ + std::max<int64_t>(delay, 0), next_++, std::move(event)});
  std::push_heap(events_.begin(), events_.end(), Later);
}

bool World::Step() {
  if (events_.empty()) return false;
  std::pop_heap(events_.begin(), events_.end(), Later);
  const Event event = std::move(events_.back());
  events_.pop_back();
  now_ = event.at;
  ++steps_;
  event.run();
  return true;
}

void World::Fail(std::string_view rule, const std::string& what) {
  if (!violation_.empty()) return;
  violation_ = {std::string(rule), what, now_};
  Note("VIOLATION of ", rule, ": ", what);
}

void World::AddNote(const std::string& text) {
  trace_.push_back(Cat(now_ / kMillisecond, " ms  ", text));
  if (trace_.size() > kTraceLines) trace_.pop_front();
}

}  // namespace swage::sim
