#include "tests/sim/stores.h"

namespace swage::sim {
namespace {

constexpr double kUnknownAfterEffect = 0.0005, kUnknownBefore = 0.0005;
constexpr double kStoreFails = 0.02, kResultLost = 0.005;
constexpr size_t kPage = 50;

}  // namespace

ApplyResult SimStateStore::Apply(const Transaction& transaction) {
  // The client (incarnation 0) would have to ask again; that is control's matter, not looked at
  // here.
  const bool faulty = world_->faults() && transaction.incarnation != 0;
  if (faulty && world_->Chance(kUnknownBefore)) {
    world_->CountFault();
    return ApplyResult::kUnknown;
  }
  const ApplyResult result = store_->Apply(transaction);
  if (result != ApplyResult::kOk) return result;
  checker_->Applied(transaction);
  if (!transaction.events.empty() && wake_) wake_();
  if (faulty && world_->Chance(kUnknownAfterEffect)) {
    world_->CountFault();
    return ApplyResult::kUnknown;
  }
  return result;
}

void SimArtifactStore::Prepare(const std::string& tenant, const std::string& job,
                               const JobToken& token, const std::string& artifact) {
  checker_->Prepared(JobKey(tenant, job), artifact, token);
  if (!published_.contains({tenant, job})) prepared_[{tenant, job}].insert(artifact);
}

StatusOr<ReconcilePage> SimArtifactStore::Reconcile(uint64_t incarnation,
                                                    const std::string& after) {
  if (world_->faults() && world_->Chance(kStoreFails)) return Unavailable("DOWN", "down");
  highest_ = std::max(highest_, incarnation);
  ReconcilePage page{highest_, {}, ""};
  for (const auto& [key, artifact] : published_) {
    const std::string name = Cat(key.first, "/", key.second);
    if (name <= after) continue;
    if (page.published.size() == kPage) break;
    page.published.push_back({key.first, key.second, artifact});
    page.next_after = name;
  }
  if (page.published.size() < kPage) page.next_after.clear();
  return page;
}

StatusOr<PublishDecision> SimArtifactStore::Publish(const PublishOrder& order, uint64_t incarnation,
                                                    const SpanContext&) {
  if (world_->faults() && world_->Chance(kStoreFails)) return Unavailable("DOWN", "down");
  if (incarnation < highest_) return Precondition("STALE_LEADER", "stale");
  highest_ = incarnation;
  const std::pair key(order.tenant, order.job);
  if (auto it = published_.find(key); it != published_.end()) {
    const bool same = it->second == order.artifact;
    return PublishDecision{same ? PublishOutcome::kPublished : PublishOutcome::kAlreadyPublished,
                           it->second, ""};
  }
  std::set<std::string>& prepared = prepared_[key];
  if (world_->faults() && world_->Chance(kResultLost)) prepared.clear();
  if (!prepared.contains(order.artifact))
    return PublishDecision{PublishOutcome::kMissing, "", "not prepared"};
  published_[key] = order.artifact;
  prepared.clear();
  world_->Note("store publishes ", order.artifact.substr(0, 8), " for ", order.job);
  checker_->Published(JobKey(order.tenant, order.job), order.artifact);
  return PublishDecision{PublishOutcome::kPublished, order.artifact, ""};
}

}  // namespace swage::sim
