#include "tests/sim/sim_artifacts.h"

#include <algorithm>

namespace swage::sim {
namespace {

constexpr size_t kReconcilePage = 50;

}  // namespace

class SimArtifacts::Link : public ArtifactStore {
 public:
  Link(SimArtifacts* server, NodeId from) : server_(server), from_(from) {}

  StatusOr<ReconcilePage> Reconcile(uint64_t incarnation, const std::string& after) override {
    SWAGE_RETURN_IF_ERROR(Arrives());
    auto page = server_->Reconcile(incarnation, after);
    SWAGE_RETURN_IF_ERROR(Returns());
    return page;
  }
  StatusOr<PublishDecision> Publish(const PublishOrder& order, uint64_t incarnation,
                                    const SpanContext&) override {
    SWAGE_RETURN_IF_ERROR(Arrives());
    auto decision = server_->Publish(order, incarnation);
    SWAGE_RETURN_IF_ERROR(Returns());
    return decision;
  }

 private:
  static Status Answered(bool ok) {
    return ok ? absl::OkStatus() : Unavailable("DOWN", "the artifact store does not answer");
  }
  Status Arrives() const {
    return Answered(server_->up() && server_->network_->Reaches(from_, server_->node_));
  }
  Status Returns() const { return Answered(server_->network_->Reaches(server_->node_, from_)); }

  SimArtifacts* const server_;
  const NodeId from_;
};

std::unique_ptr<ArtifactStore> SimArtifacts::Connect(NodeId from) {
  return std::make_unique<Link>(this, from);
}

void SimArtifacts::Adopt(const std::string& tenant, const std::string& job,
                         const std::string& artifact, bool published) {
  const std::string key = JobKey(tenant, job);
  if (!published) {
    prepared_[key].insert(artifact);
    return;
  }
  published_[key] = {tenant, job, artifact};
  artifacts_[tenant].insert(artifact);
}

void SimArtifacts::Prepare(const std::string& tenant, const std::string& job,
                           const JobToken& token, const std::string& artifact) {
  const std::string key = JobKey(tenant, job);
  checker_->Prepared(key, artifact, token);
  if (!published_.contains(key)) prepared_[key].insert(artifact);
}

StatusOr<ReconcilePage> SimArtifacts::Reconcile(uint64_t incarnation, const std::string& after) {
  highest_ = std::max(highest_, incarnation);
  ReconcilePage page{highest_, {}, ""};
  for (auto it = published_.upper_bound(after); it != published_.end(); ++it) {
    if (page.published.size() == kReconcilePage) return page;
    page.published.push_back(it->second);
    page.next_after = it->first;
  }
  page.next_after.clear();
  return page;
}

StatusOr<PublishDecision> SimArtifacts::Publish(const PublishOrder& order, uint64_t incarnation) {
  if (incarnation < highest_) return Precondition("STALE_LEADER", "another leader was here");
  highest_ = incarnation;
  const std::string key = JobKey(order.tenant, order.job);
  if (const auto it = published_.find(key); it != published_.end()) {
    const bool same = it->second.artifact == order.artifact;
    return PublishDecision{same ? PublishOutcome::kPublished : PublishOutcome::kAlreadyPublished,
                           it->second.artifact, ""};
  }
  std::set<std::string>& prepared = prepared_[key];
  std::set<std::string>& there = artifacts_[order.tenant];
  if (std::exchange(lose_next_, false)) {
    prepared.clear();
    there.erase(order.artifact);
  }
  if (!prepared.contains(order.artifact) && !there.contains(order.artifact))
    return PublishDecision{PublishOutcome::kMissing, "", "not prepared"};
  published_[key] = {order.tenant, order.job, order.artifact};
  prepared_.erase(key);
  there.insert(order.artifact);
  world_->Note("the artifact store publishes ", order.artifact.substr(0, 8), " for ", order.job);
  checker_->Published(key, order.artifact);
  return PublishDecision{PublishOutcome::kPublished, order.artifact, ""};
}

}  // namespace swage::sim
