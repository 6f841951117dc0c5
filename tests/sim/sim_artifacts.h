// The artifact store in simulated time: what is prepared, what is published, and the highest
// incarnation, by the rules of storage/core/index_jobs.cc. It keeps what it has acknowledged.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "scheduler/server/artifact_store.h"
#include "tests/sim/checker.h"
#include "tests/sim/network.h"

namespace swage::sim {

class SimArtifacts {
 public:
  SimArtifacts(World* world, Network* network, Checker* checker, NodeId node)
      : world_(world), network_(network), checker_(checker), node_(node) {}

  // A client of it on that node; its calls take no simulated time.
  std::unique_ptr<ArtifactStore> Connect(NodeId from);

  bool up() const { return !down_; }
  void SetDown(bool down) { down_ = down; }
  void LoseNextResult() { lose_next_ = true; }  // what was prepared is gone when it is published
  void Calm() { down_ = lose_next_ = false; }
  NodeId node() const { return node_; }

  // As it is at the start: what a job has published, or only prepared.
  void Adopt(const std::string& tenant, const std::string& job, const std::string& artifact,
             bool published);
  void Prepare(const std::string& tenant, const std::string& job, const JobToken& token,
               const std::string& artifact);

 private:
  class Link;
  StatusOr<ReconcilePage> Reconcile(uint64_t incarnation, const std::string& after);
  StatusOr<PublishDecision> Publish(const PublishOrder& order, uint64_t incarnation);

  World* const world_;
  Network* const network_;
  Checker* const checker_;
  const NodeId node_;
  bool down_ = false, lose_next_ = false;
  uint64_t highest_ = 0;
  std::map<std::string, std::set<std::string>> prepared_;  // by job key
  std::map<std::string, PublishedJob> published_;
  std::map<std::string, std::set<std::string>> artifacts_;  // of each tenant, that can be read
};

}  // namespace swage::sim
