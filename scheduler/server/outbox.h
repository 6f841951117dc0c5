// Decided results on their way to being published: each is tried until the store decides, with
// back-off. What is lost here with the process is ordered again by the next leader, from the
// records. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/telemetry/trace.h"
#include "scheduler/server/artifact_store.h"

namespace swage {

class Outbox {
 public:
  // Called on the outbox's threads: the decision, or the error STALE_LEADER.
  using Done = std::function<void(const PublishOrder&, const StatusOr<PublishDecision>&)>;
  Outbox(ArtifactStore* artifacts, Tracer* tracer, Done done);
  ~Outbox();  // waits for calls under way

  void Add(const PublishOrder& order, uint64_t incarnation);
  void Clear();  // leadership is over; calls under way end as they may

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    PublishOrder order;
    uint64_t incarnation = 0;
    int tries = 0;
  };
  void Run();
  void Try(Entry entry);

  ArtifactStore* const artifacts_;
  Tracer* const tracer_;
  const Done done_;
  std::mutex mu_;
  std::condition_variable changed_;
  std::multimap<Clock::time_point, Entry> due_;
  uint64_t generation_ = 0;  // grows with Clear: a retry of before is dropped
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace swage
