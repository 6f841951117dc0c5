// ArtifactStore over gRPC.
#include "base/limits.h"
#include "scheduler/server/artifact_store.h"
#include "services/kit/rpc.h"
#include "swage/v1/artifact.grpc.pb.h"

namespace swage {
namespace {

class RemoteArtifactStore : public ArtifactStore {
 public:
  explicit RemoteArtifactStore(const std::string& address)
      : stub_(v1::ArtifactService::NewStub(NewChannel(address))) {}

  StatusOr<ReconcilePage> Reconcile(uint64_t incarnation, const std::string& after) override {
    v1::ReconcileRequest request;
    request.set_incarnation(incarnation);
    request.set_after(after);
    v1::ReconcileResponse response;
    grpc::ClientContext context;
    PrepareContext(&context, limits::kUnaryDeadlineMs);
    const grpc::Status status = stub_->Reconcile(&context, request, &response);
    if (!status.ok()) return Annotate(FromGrpc(status), "asking the store what is published");
    ReconcilePage page{response.highest_incarnation(), {}, response.next_after()};
    for (const auto& p : response.published())
      page.published.push_back({p.tenant(), p.job(), p.artifact()});
    return page;
  }

  StatusOr<PublishDecision> Publish(const PublishOrder& order, uint64_t incarnation,
                                    const SpanContext& trace) override {
    v1::PublishRequest request;
    request.set_tenant(order.tenant);
    request.set_job(order.job);
    request.mutable_token()->set_incarnation(order.token.incarnation);
    request.mutable_token()->set_epoch(order.token.epoch);
    request.mutable_token()->set_random(order.token.random);
    request.set_incarnation(incarnation);
    request.set_artifact(order.artifact);
    request.set_alias(order.alias);
    v1::Artifact artifact;
    grpc::ClientContext context;
    PrepareContext(&context, limits::kUnaryDeadlineMs, trace);
    const Status status = FromGrpc(stub_->Publish(&context, request, &artifact));
    if (status.ok()) return PublishDecision{PublishOutcome::kPublished, artifact.id(), ""};
    const std::string reason = ReasonOf(status);
    if (reason == "ALREADY_PUBLISHED") return FirstPublished(order, incarnation);
    if (status.code() == StatusCode::kNotFound)
      return PublishDecision{PublishOutcome::kMissing, "", MessageOf(status)};
    if (status.code() == StatusCode::kInvalidArgument) {
      return PublishDecision{PublishOutcome::kRefused, "", MessageOf(status)};
    }
    return status;
  }

 private:
  // Which artifact the store holds as the job's result.
  StatusOr<PublishDecision> FirstPublished(const PublishOrder& order, uint64_t incarnation) {
    // The listing is ordered and starts behind `after`; the job's name less its last letter comes
    // just before it.
    std::string after = Cat(order.tenant, "/", order.job.substr(0, order.job.size() - 1));
    do {
      SWAGE_ASSIGN_OR_RETURN(const ReconcilePage page, Reconcile(incarnation, after));
      for (const PublishedJob& p : page.published) {
        if (p.tenant == order.tenant && p.job == order.job) {
          return PublishDecision{PublishOutcome::kAlreadyPublished, p.artifact, ""};
        }
      }
      after = page.next_after;
    } while (!after.empty());
    return Unavailable("PUBLISHED_NOT_LISTED",
                       "the store refuses a second result but does not list the first");
  }

  std::unique_ptr<v1::ArtifactService::Stub> stub_;
};

}  // namespace

std::unique_ptr<ArtifactStore> NewRemoteArtifactStore(const std::string& address) {
  return std::make_unique<RemoteArtifactStore>(address);
}

}  // namespace swage
