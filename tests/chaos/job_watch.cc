#include "tests/chaos/job_watch.h"

#include <chrono>
#include <nlohmann/json.hpp>

namespace swage::chaos {

JobWatch::JobWatch(Platform* platform, std::string job) : platform_(platform), job_(std::move(job)) {
  position_.stage = "queued";
  thread_ = std::thread([this] { Follow(); });
}

JobWatch::~JobWatch() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (process_ != nullptr) kill(process_->pid(), SIGKILL);
    changed_.notify_all();
  }
  thread_.join();
}

void JobWatch::Follow() {
  std::unique_lock lock(mutex_);
  while (!stopping_ && !position_.final()) {
    lock.unlock();
    auto process = platform_->Watch(job_, [this](const std::string& line) { OnLine(line); });
    lock.lock();
    if (!process.ok()) break;
    process_ = std::move(*process);
    if (stopping_) kill(process_->pid(), SIGKILL);
    lock.unlock();
    process_->Wait();
    lock.lock();
    if (!stopping_ && !position_.final()) changed_.wait_for(lock, std::chrono::milliseconds(100));
  }
}

void JobWatch::OnLine(const std::string& line) {
  const auto event = nlohmann::json::parse(line, nullptr, false);
  if (!event.is_object() || !event.contains("state")) return;
  std::lock_guard lock(mutex_);
  const uint64_t epoch = event.value("epoch", uint64_t{0});
  if (epoch > position_.epoch) {
    position_.epoch = epoch;
    position_.stage = "queued";
  }
  position_.state = event.value("state", "");
  const auto progress = event.find("progress");
  if (progress != event.end() && progress->is_object()) {
    const std::string stage = progress->value("stage", "");
    if (!stage.empty()) position_.stage = stage;
  }
  changed_.notify_all();
}

JobPosition JobWatch::Now() {
  std::lock_guard lock(mutex_);
  return position_;
}

bool JobWatch::Await(int timeout_ms, const std::function<bool(const JobPosition&)>& reached) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return reached(position_); });
}

}  // namespace swage::chaos
