// One thread follows the state store's event log and wakes whoever waits for a stream: a watch costs no thread.
// It tells only that a stream has grown; the waiter reads it. So a wake-up may be spurious or merged, never missing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <condition_variable>
#include <string>
#include <thread>

#include "scheduler/state/state_store.h"

namespace swage {

class EventFollower {  // thread-safe
 public:
  explicit EventFollower(std::shared_ptr<StateStore> state);
  ~EventFollower();

  // Called on the follower's thread when `stream` has grown, and once soon after subscribing. Returns an id.
  using Listener = std::function<void()>;
  uint64_t Subscribe(const std::string& stream, Listener listener);
  // Does not wait for a call that runs now; a listener keeps alive what it needs.
  void Unsubscribe(uint64_t id);
  // Calls this subscription's listener again soon.
  void Poke(uint64_t id);
  void Stop();  // no calls after it has returned

 private:
  struct Subscription {
    std::string stream;
    std::shared_ptr<Listener> listener;
    bool due = true;
  };
  void Loop();
  bool WaitForSubscribers();
  void Serve();

  const std::shared_ptr<StateStore> state_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Subscription> subscriptions_;
  uint64_t next_id_ = 1;
  bool stopping_ = false;
  bool poked_ = false;
  std::thread log_thread_, serve_thread_;
};

}  // namespace swage
