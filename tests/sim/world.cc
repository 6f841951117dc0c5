#include "tests/sim/world.h"

namespace swage::sim {
namespace {

constexpr size_t kTraceLines = 500;
constexpr double kLoss = 0.01, kDouble = 0.01, kSlow = 0.01;

}  // namespace

bool World::Step() {
  if (events_.empty()) return false;
  Event event = events_.top();
  events_.pop();
  now_ = event.at;
  ++steps_;
  event.run();
  return true;
}

void World::Send(const std::string& node, const std::function<void()>& deliver) {
  if (cut_.contains(node)) return;
  if (!faults_) return After(Between(kMillisecond / 2, 20 * kMillisecond), deliver);
  if (Chance(kLoss)) return CountFault();
  const int copies = Chance(kDouble) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    // Now and then so late that leases have ended meanwhile.
    const bool slow = Chance(kSlow);
    if (slow || i > 0) CountFault();
    After(slow ? Between(kSecond, kMinute) : Between(kMillisecond / 2, 40 * kMillisecond), deliver);
  }
}

void World::SetFaults(bool on) {
  faults_ = on;
  if (!on) cut_.clear();
}

void World::Fail(const std::string& what) {
  if (!violation_.empty()) return;
  violation_ = what;
  if (traced_) AddNote(Cat("VIOLATION: ", what));
}

void World::AddNote(const std::string& text) {
  trace_.push_back(Cat(now_ / kMillisecond, " ms  ", text));
  if (trace_.size() > kTraceLines) trace_.pop_front();
}

}  // namespace swage::sim
