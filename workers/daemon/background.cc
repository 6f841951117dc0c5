#include "workers/daemon/background.h"

#include <chrono>
#include <utility>

namespace swage {

Background::Background(int64_t period_ms, std::function<void()> periodic)
    : period_ms_(period_ms), periodic_(std::move(periodic)), thread_([this] { Loop(); }) {}

Background::~Background() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Background::Post(std::function<void()> task) {
  std::lock_guard<std::mutex> lock(mutex_);
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void Background::RunPeriodicSoon() {
  std::lock_guard<std::mutex> lock(mutex_);
  soon_ = true;
  changed_.notify_all();
}

void Background::Loop() {
  using Steady = std::chrono::steady_clock;
  const auto period = std::chrono::milliseconds(period_ms_);
  auto due = Steady::now() + period;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    if (!tasks_.empty()) {
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    } else if (stopping_) {
      return;
    } else if (std::exchange(soon_, false) || Steady::now() >= due) {
      lock.unlock();
      periodic_();
      lock.lock();
      due = Steady::now() + period;
    } else {
      changed_.wait_until(lock, due);
    }
  }
}

}  // namespace swage
