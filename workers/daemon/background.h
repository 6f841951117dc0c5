// One thread for what must hold nobody up: tasks in the order in which they were posted, and one task that comes again
// and again. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace swage {

class Background {
 public:
  // `periodic` runs every `period_ms`, counted from the end of the last time.
  Background(int64_t period_ms, std::function<void()> periodic);
  ~Background();  // runs what has been posted, and waits for it
  void Post(std::function<void()> task);
  void RunPeriodicSoon();

 private:
  void Loop();

  const int64_t period_ms_;
  const std::function<void()> periodic_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool soon_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace swage
