// Ends streams that move nothing (limits::kStreamIdleDeadlineMs), and all of them at shutdown. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"

namespace swage {

class StreamWatch {
 public:
  explicit StreamWatch(Clock* clock) : clock_(clock) {}
  // `cancel` is never called after Remove has returned, and without a lock held: gRPC may run the stream's callbacks,
  // Remove among them, inside of it. False: the server is ending.
  bool Add(const void* stream, std::function<void()> cancel);
  void Moved(const void* stream);
  void Remove(const void* stream);
  int CancelIdle(int64_t idle_ms);  // how many
  void CancelAll();                 // and all that come

 private:
  struct Entry {
    std::function<void()> cancel;
    int64_t moved_nanos = 0;
    std::thread::id canceller;  // whose `cancel` is running
  };
  int Cancel(const std::vector<const void*>& streams);
  Clock* clock_;
  std::mutex mutex_;
  std::condition_variable cancelled_;
  bool ending_ = false;
  std::unordered_map<const void*, Entry> streams_;
};

}  // namespace swage
