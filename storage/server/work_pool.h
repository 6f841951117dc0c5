// A fixed number of threads for disk work, so that none of gRPC's threads ever waits for a disk, and a slow peer
// holds no thread at all. Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace swage {

class WorkPool {
 public:
  WorkPool(int threads, size_t queue_limit);
  ~WorkPool();  // runs what is queued
  bool Add(std::function<void()> work);  // false: the queue is full, or the pool ends

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> queue_;
  const size_t queue_limit_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace swage
