#include "services/control/follower.h"

#include <set>
#include <vector>

#include "base/log.h"

namespace swage {
namespace {

constexpr int kWaitMs = 250;          // how soon the log thread notices that it should stop
constexpr size_t kEventsPerRead = 1000;
constexpr uint64_t kEndOfLog = INT64_MAX;  // after every sequence: WaitForEvents then tells the last one

}  // namespace

EventFollower::EventFollower(std::shared_ptr<StateStore> state)
    : state_(std::move(state)), log_thread_([this] { Loop(); }), serve_thread_([this] { Serve(); }) {}

EventFollower::~EventFollower() { Stop(); }

void EventFollower::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (log_thread_.joinable()) log_thread_.join();
  if (serve_thread_.joinable()) serve_thread_.join();
}

uint64_t EventFollower::Subscribe(const std::string& stream, Listener listener) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t id = next_id_++;
  subscriptions_[id] = {stream, std::make_shared<Listener>(std::move(listener)), true};
  poked_ = true;
  changed_.notify_all();
  return id;
}

void EventFollower::Unsubscribe(uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  subscriptions_.erase(id);
}

void EventFollower::Poke(uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = subscriptions_.find(id);
  if (it == subscriptions_.end()) return;
  it->second.due = true;
  poked_ = true;
  changed_.notify_all();
}

bool EventFollower::WaitForSubscribers() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || !subscriptions_.empty(); });
  return !stopping_;
}

// Reads the log and marks the subscriptions of streams that grew. Asleep while nobody watches.
void EventFollower::Loop() {
  uint64_t last = 0;
  bool known = false;
  while (WaitForSubscribers()) {
    const auto newest = state_->WaitForEvents(known ? last : kEndOfLog, known ? kWaitMs : 0);
    std::set<std::string> grown;
    bool all = false;
    if (!newest.ok()) {
      LogWarning("event log cannot be read: ", MessageOf(newest.status()));
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait_for(lock, std::chrono::milliseconds(kWaitMs), [this] { return stopping_; });
      continue;
    }
    if (!known) {
      last = *newest;
      known = all = true;  // what happened before we knew the end: everybody looks once
    } else if (*newest > last) {
      const auto events = state_->ReadEvents(last, kEventsPerRead);
      if (!events.ok()) continue;
      for (const StoredEvent& event : *events) {
        grown.insert(event.stream);
        last = event.sequence;
      }
    }
    if (grown.empty() && !all) continue;
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto& [id, subscription] : subscriptions_) {
      if (all || grown.count(subscription.stream)) subscription.due = poked_ = true;
    }
    if (poked_) changed_.notify_all();
  }
}

// Calls the listeners of due subscriptions, without the lock.
void EventFollower::Serve() {
  while (true) {
    std::vector<std::shared_ptr<Listener>> due;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || poked_; });
      if (stopping_) return;
      poked_ = false;
      for (auto& [id, subscription] : subscriptions_) {
        if (subscription.due) due.push_back(subscription.listener);
        subscription.due = false;
      }
    }
    for (const auto& listener : due) (*listener)();
  }
}

}  // namespace swage
