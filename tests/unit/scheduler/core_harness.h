// Drives a Core as a leader would, over an in-memory copy of the store, with time set by hand.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/core/core.h"

namespace swage {

inline constexpr uint64_t kGb = 1000000000;

class CoreHarness {
 public:
  CoreHarness() { Restart(); }

  // A new leader that knows what was written, and nothing else.
  void Restart();
  // Takes the output and writes it down; fails the test when a version does not fit.
  CoreOutput Step();

  void Submit(const std::string& id, uint64_t bytes = kGb, int priority = 0,
              const std::string& method = "rtn");
  // Any job: `shape` changes what Submit would have asked for.
  void SubmitAs(const std::string& tenant, const std::string& id,
                const std::function<void(AdmittedJob*)>& shape = nullptr);
  void Ask(const std::string& kind, const std::string& id, const std::string& tenant = "t");
  // A call of this worker with its next sequence, listing what Run and End told of.
  void Report(const std::string& worker);
  // Reports and takes the answer, as a worker does that is told at once.
  std::vector<AssignmentOrder> Sync(const std::string& worker);
  // Lets every assigned worker take up and end its jobs well, and publishes the results.
  void FinishAll(const std::vector<std::string>& workers);
  void Publish(const CoreOutput& out, PublishOutcome outcome = PublishOutcome::kPublished);
  void AdvanceMs(int64_t ms);  // and Tick

  struct FakeWorker {
    WorkerReport report;  // sent as it is, with the sequence counted up
  };
  FakeWorker& worker(const std::string& id, uint64_t bytes = 8 * kGb, int slots = 1);
  // The worker takes up what it was told; afterwards it lists exactly these.
  void Take(const std::string& worker, const std::vector<AssignmentOrder>& orders,
            const std::string& stage = "load");
  void EndWith(const std::string& worker, const std::string& job, const std::string& digest,
               const std::string& reason = "");

  size_t CountOf(std::string_view kind) const;  // records of this kind in the store
  const JobRecord& job(const std::string& id, const std::string& tenant = "t") const;
  JobRecord stored(const std::string& id) const;
  std::vector<JobEventRecord> events(const std::string& id) const;
  std::vector<std::string> states(const std::string& id) const;  // of the state events, in order

  Core& core() { return *core_; }
  Now now{1'000'000'000, 1'700'000'000'000'000'000};
  uint64_t incarnation = 0;
  std::map<std::string, std::pair<uint64_t, std::string>> store;
  std::map<std::string, std::vector<std::string>> streams;
  CoreOptions options;

 private:
  std::unique_ptr<Core> core_;
  std::map<std::string, FakeWorker> workers_;
  int requests_ = 0;
};

std::string DigestText(char digit);  // 64 times

}  // namespace swage
