// The artifact store, as far as the leader needs it. Calls block, with a deadline, and do not
// retry. Thread-safe. No gRPC in this header; tests put a store of their own behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/telemetry/trace.h"
#include "scheduler/core/core.h"

namespace swage {

struct PublishedJob {
  std::string tenant, job, artifact;
};

struct ReconcilePage {
  uint64_t highest_incarnation = 0;
  std::vector<PublishedJob> published;
  std::string next_after;  // "" = done
};

struct PublishDecision {
  PublishOutcome outcome = PublishOutcome::kPublished;
  std::string artifact, message;
};

class ArtifactStore {
 public:
  virtual ~ArtifactStore() = default;
  // Incarnation 0 asks without announcing a leader.
  virtual StatusOr<ReconcilePage> Reconcile(uint64_t incarnation, const std::string& after) = 0;
  // An error says that nothing is decided yet, and the call may be repeated; reason STALE_LEADER
  // that another leads.
  virtual StatusOr<PublishDecision> Publish(const PublishOrder& order, uint64_t incarnation,
                                            const SpanContext& trace) = 0;
};

std::unique_ptr<ArtifactStore> NewRemoteArtifactStore(const std::string& address);

}  // namespace swage
