// Group commit: calls of many threads that come while one is under way wait, and then go together.
//
//   GroupQueue<Waiting> queue(128);
//   Waiting mine{&transaction};
//   queue.Run(&mine, [this](const std::vector<Waiting*>& group) { WriteTogether(group); });
//   return mine.result;
//
// The first thread in line works for those behind it: there is no thread of its own, and a lone
// caller waits for nobody. `work` is called by one thread at a time. Thread-safe.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

namespace swage {

template <typename Item>
class GroupQueue {
 public:
  explicit GroupQueue(size_t largest_group) : largest_group_(largest_group) {}

  // Returns when `item` was in a group that `work` has returned from.
  template <typename Work>
  void Run(Item* item, const Work& work) {
    Waiter mine{item};
    std::unique_lock lock(mu_);
    line_.push_back(&mine);
    if (busy_) mine.changed.wait(lock, [&] { return mine.done || mine.leads; });
    if (mine.done) return;
    busy_ = true;
    const size_t size = std::min(line_.size(), largest_group_);
    const std::vector<Waiter*> waiters(line_.begin(), line_.begin() + static_cast<long>(size));
    line_.erase(line_.begin(), line_.begin() + static_cast<long>(size));
    std::vector<Item*> group;
    group.reserve(size);
    for (const Waiter* waiter : waiters) group.push_back(waiter->item);
    lock.unlock();
    work(group);
    lock.lock();
    if (line_.empty()) {
      busy_ = false;
    } else {  // first, so that it sets out while the others are being woken
      line_.front()->leads = true;
      line_.front()->changed.notify_one();
    }
    for (Waiter* waiter : waiters) {
      waiter->done = true;
      waiter->changed.notify_one();  // under the lock: its owner may be gone as soon as it is free
    }
  }

 private:
  struct Waiter {
    Item* item;
    bool done = false, leads = false;
    std::condition_variable changed = {};  // each its own, so that nobody is woken in vain
  };
  const size_t largest_group_;
  std::mutex mu_;
  std::deque<Waiter*> line_;
  bool busy_ = false;
};

}  // namespace swage
