#include "scheduler/server/outbox.h"

#include <algorithm>

#include "base/fault_hold.h"
#include "base/log.h"
#include "base/rng.h"

namespace swage {
namespace {

constexpr int kThreads = 2;  // one slow call must not hold up the rest
constexpr int kRetryBaseMs = 100, kRetryCapMs = 5000;

}  // namespace

Outbox::Outbox(ArtifactStore* artifacts, Tracer* tracer, Done done)
    : artifacts_(artifacts), tracer_(tracer), done_(std::move(done)) {
  for (int i = 0; i < kThreads; ++i) threads_.emplace_back([this] { Run(); });
}

Outbox::~Outbox() {
  {
    std::lock_guard lock(mu_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void Outbox::Add(const PublishOrder& order, uint64_t incarnation) {
  std::lock_guard lock(mu_);
  due_.emplace(Clock::now(), Entry{order, incarnation, 0});
  changed_.notify_one();
}

void Outbox::Clear() {
  std::lock_guard lock(mu_);
  due_.clear();
  ++generation_;
}

void Outbox::Run() {
  std::unique_lock lock(mu_);
  while (!stopping_) {
    if (due_.empty()) {
      changed_.wait(lock);
    } else if (due_.begin()->first > Clock::now()) {
      const Clock::time_point first = due_.begin()->first;  // a copy: others may take the entry
      changed_.wait_until(lock, first);
    } else {
      Entry entry = std::move(due_.begin()->second);
      due_.erase(due_.begin());
      lock.unlock();
      Try(std::move(entry));
      lock.lock();
    }
  }
}

void Outbox::Try(Entry entry) {
  uint64_t generation = 0;
  {
    std::lock_guard lock(mu_);
    generation = generation_;
  }
  if (entry.tries == 0) HoldAt("commit");
  Span span;
  const SpanContext parent = SpanContext::FromTraceparent(entry.order.traceparent);
  if (tracer_ != nullptr)
    span = tracer_->Start("publish", parent, {{"swage.job", entry.order.job}});
  const auto decision = artifacts_->Publish(entry.order, entry.incarnation, span.context());
  span.SetStatus(decision.status());
  span.End();
  if (decision.ok() || ReasonOf(decision.status()) == "STALE_LEADER")
    return done_(entry.order, decision);
  LogWarning("publish of job ", entry.order.job,
             " not decided yet: ", MessageOf(decision.status()));
  const int bound = std::min(kRetryCapMs, kRetryBaseMs << std::min(entry.tries, 10));
  const auto wait =
      std::chrono::milliseconds(bound / 2 + RandomU64() % static_cast<uint64_t>(bound / 2));
  ++entry.tries;
  std::lock_guard lock(mu_);
  if (generation != generation_) return;
  due_.emplace(Clock::now() + wait, std::move(entry));
  changed_.notify_one();
}

}  // namespace swage
