#include "storage/server/stream_watch.h"

namespace swage {

bool StreamWatch::Add(const void* stream, std::function<void()> cancel) {
  std::lock_guard lock(mutex_);
  if (ending_) return false;
  streams_[stream] = {std::move(cancel), clock_->MonotonicNanos()};
  return true;
}

void StreamWatch::Moved(const void* stream) {
  std::lock_guard lock(mutex_);
  const auto found = streams_.find(stream);
  if (found != streams_.end()) found->second.moved_nanos = clock_->MonotonicNanos();
}

void StreamWatch::Remove(const void* stream) {
  std::unique_lock lock(mutex_);
  cancelled_.wait(lock, [&] {
    const auto found = streams_.find(stream);
    return found == streams_.end() || found->second.canceller == std::thread::id() ||
           found->second.canceller == std::this_thread::get_id();
  });
  streams_.erase(stream);
}

int StreamWatch::Cancel(const std::vector<const void*>& streams) {
  int count = 0;
  for (const void* stream : streams) {
    std::unique_lock lock(mutex_);
    auto found = streams_.find(stream);
    if (found == streams_.end() || found->second.canceller != std::thread::id()) continue;
    found->second.canceller = std::this_thread::get_id();
    const std::function<void()> cancel = found->second.cancel;
    lock.unlock();
    cancel();
    ++count;
    lock.lock();
    found = streams_.find(stream);
    if (found != streams_.end()) found->second.canceller = std::thread::id();
    lock.unlock();
    cancelled_.notify_all();
  }
  return count;
}

int StreamWatch::CancelIdle(int64_t idle_ms) {
  std::vector<const void*> idle;
  {
    std::lock_guard lock(mutex_);
    const int64_t before = clock_->MonotonicNanos() - idle_ms * 1000000;
    for (const auto& [stream, entry] : streams_) {
      if (entry.moved_nanos <= before) idle.push_back(stream);
    }
  }
  return Cancel(idle);
}

void StreamWatch::CancelAll() {
  std::vector<const void*> all;
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    for (const auto& [stream, entry] : streams_) all.push_back(stream);
  }
  Cancel(all);
}

}  // namespace swage
