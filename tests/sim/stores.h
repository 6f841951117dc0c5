// The two stores as the simulation has them: the real memory state store behind faults and the
// checker, and the artifact store's publish rules (DESIGN 5).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "scheduler/server/artifact_store.h"
#include "scheduler/state/state_store.h"
#include "tests/sim/checker.h"
#include "tests/sim/world.h"

namespace swage::sim {

class SimStateStore : public StateStore {
 public:
  SimStateStore(World* world, Checker* checker) : world_(world), checker_(checker) {}

  // While faults are on, now and then: nothing happens and it is not known, or it happens and is
  // not known.
  ApplyResult Apply(const Transaction& transaction) override;
  StatusOr<std::optional<Record>> Get(const std::string& key) override { return store_->Get(key); }
  StatusOr<std::vector<std::optional<Record>>> MultiGet(
      const std::vector<std::string>& keys) override {
    return store_->MultiGet(keys);
  }
  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit) override {
    return store_->Scan(prefix, after, limit);
  }
  StatusOr<std::vector<Record>> ScanBack(const std::string& prefix, const std::string& before,
                                         size_t limit) override {
    return store_->ScanBack(prefix, before, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after, size_t limit) override {
    return store_->ReadEvents(after, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream, uint64_t after,
                                                size_t limit) override {
    return store_->ReadStream(stream, after, limit);
  }
  StatusOr<uint64_t> WaitForEvents(uint64_t after, int) override {
    return store_->WaitForEvents(after, 0);
  }
  StatusOr<uint64_t> TakeLeadership(uint64_t at_least) override {
    return store_->TakeLeadership(at_least);
  }
  StatusOr<uint64_t> CurrentIncarnation() override { return store_->CurrentIncarnation(); }
  void OnEvents(std::function<void()> wake) { wake_ = std::move(wake); }

 private:
  World* const world_;
  Checker* const checker_;
  std::unique_ptr<StateStore> store_ = NewMemoryStateStore();
  std::function<void()> wake_;
};

class SimArtifactStore : public ArtifactStore {
 public:
  SimArtifactStore(World* world, Checker* checker) : world_(world), checker_(checker) {}

  void Prepare(const std::string& tenant, const std::string& job, const JobToken& token,
               const std::string& artifact);
  StatusOr<ReconcilePage> Reconcile(uint64_t incarnation, const std::string& after) override;
  StatusOr<PublishDecision> Publish(const PublishOrder& order, uint64_t incarnation,
                                    const SpanContext&) override;

 private:
  World* const world_;
  Checker* const checker_;
  uint64_t highest_ = 0;
  std::map<std::pair<std::string, std::string>, std::set<std::string>> prepared_;
  std::map<std::pair<std::string, std::string>, std::string> published_;
};

}  // namespace swage::sim
