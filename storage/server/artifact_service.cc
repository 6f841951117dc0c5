#include "storage/server/artifact_service.h"

#include <algorithm>

#include "base/limits.h"
#include "services/kit/rpc.h"

namespace swage {
namespace {

constexpr int kQuickThreads = 4, kSlowThreads = 2;
constexpr size_t kQueueLimit = 4096;

void ToProto(const ArtifactRecord& record, v1::Artifact* out) {
  out->set_id(record.id.Hex());
  out->set_kind(record.kind);
  for (const std::string& alias : record.aliases) out->add_aliases(alias);
  out->set_total_bytes(record.total_bytes);
  out->set_stored_bytes(record.stored_bytes);
  out->mutable_create_time()->set_seconds(record.create_unix_nanos / 1000000000);
  out->mutable_create_time()->set_nanos(static_cast<int32_t>(record.create_unix_nanos % 1000000000));
  out->set_job(record.job);
  out->set_files(record.files);
  out->set_objects(record.objects);
}

Status ToProto(StatusOr<ArtifactRecord> record, v1::Artifact* out) {
  if (record.ok()) ToProto(*record, out);
  return record.status();
}

ResultToken TokenOf(const v1::Token& token) { return {token.incarnation(), token.epoch(), token.random()}; }

}  // namespace

StatusOr<Digest> DigestFromRequest(const std::string& bytes) {
  Digest digest;
  if (bytes.size() != digest.bytes.size()) {
    return InvalidInput("BAD_DIGEST", Cat("a digest has 32 bytes, not ", bytes.size()), "send the SHA-256 of the object's bytes");
  }
  std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
  return digest;
}

Status TooBusy() { return Unavailable("STORE_BUSY", "the store has too many calls waiting", "try again in a moment"); }

ArtifactService::ArtifactService(Store* store, Clock* clock, Tracer* tracer)
    : store_(store), tracer_(tracer), streams_(clock), quick_(kQuickThreads, kQueueLimit), slow_(kSlowThreads, kQueueLimit) {}

Span ArtifactService::StartSpan(const char* name, const grpc::ServerContextBase& context) {
  return tracer_ == nullptr ? Span() : tracer_->Start(name, TraceOf(context));
}

// Runs `work` in a pool. Request, response and context live until the reactor is finished, which is the last thing done.
template <typename Work>
ArtifactService::Unary* ArtifactService::Run(WorkPool* pool, const char* name, Context* context, Work work) {
  Unary* reactor = context->DefaultReactor();
  const bool queued = pool->Add([this, name, context, reactor, work] {
    Status status = context->IsCancelled() ? Error(StatusCode::kCancelled, "CANCELLED", "the caller has gone") : absl::OkStatus();
    {
      Span span = StartSpan(name, *context);
      if (status.ok()) status = work();
      span.SetStatus(status);
    }
    reactor->Finish(ToGrpc(status));
  });
  if (!queued) reactor->Finish(ToGrpc(TooBusy()));
  return reactor;
}

ArtifactService::Unary* ArtifactService::FindMissing(Context* context, const v1::FindMissingRequest* request,
                                                     v1::FindMissingResponse* response) {
  return Run(&quick_, "store.FindMissing", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request->tenant()));
    if (static_cast<uint64_t>(request->digests_size()) > limits::kFindMissingDigests) {
      return InvalidInput("TOO_MANY_DIGESTS", Cat("at most ", limits::kFindMissingDigests, " digests a call"), "ask in several calls");
    }
    std::vector<Digest> digests;
    for (const std::string& bytes : request->digests()) {
      SWAGE_ASSIGN_OR_RETURN(const Digest digest, DigestFromRequest(bytes));
      digests.push_back(digest);
    }
    SWAGE_ASSIGN_OR_RETURN(const auto missing, store_->FindMissing(tenant, request->upload_id(), digests));
    for (const Digest& digest : missing) response->add_missing(digest.bytes.data(), digest.bytes.size());
    return absl::OkStatus();
  });
}

ArtifactService::Unary* ArtifactService::QueryWrite(Context* context, const v1::QueryWriteRequest* request,
                                                    v1::QueryWriteResponse* response) {
  return Run(&quick_, "store.QueryWrite", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request->tenant()));
    SWAGE_ASSIGN_OR_RETURN(const Digest digest, DigestFromRequest(request->digest()));
    SWAGE_ASSIGN_OR_RETURN(const WriteState state, store_->QueryWrite(tenant, request->upload_id(), digest));
    response->set_committed_bytes(state.committed_bytes);
    response->set_complete(state.complete);
    return absl::OkStatus();
  });
}

ArtifactService::Unary* ArtifactService::CommitManifest(Context* context, const v1::CommitManifestRequest* request,
                                                        v1::Artifact* response) {
  return Run(&slow_, "store.CommitManifest", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request->tenant()));
    return ToProto(store_->Commit(tenant, request->upload_id(), request->manifest_json(), request->alias()), response);
  });
}

ArtifactService::Unary* ArtifactService::Prepare(Context* context, const v1::PrepareRequest* request, v1::PrepareResponse* response) {
  return Run(&slow_, "store.Prepare", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request->tenant()));
    SWAGE_ASSIGN_OR_RETURN(const Digest artifact, store_->Prepare(tenant, request->upload_id(), request->job(), TokenOf(request->token()),
                                                                  request->manifest_json()));
    response->set_artifact(artifact.Hex());
    return absl::OkStatus();
  });
}

ArtifactService::Unary* ArtifactService::Publish(Context* context, const v1::PublishRequest* request, v1::Artifact* response) {
  return Run(&quick_, "store.Publish", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request->tenant()));
    return ToProto(store_->Publish(tenant, request->job(), TokenOf(request->token()), request->incarnation(), request->artifact(),
                                   request->alias()), response);
  });
}

ArtifactService::Unary* ArtifactService::Reconcile(Context* context, const v1::ReconcileRequest* request, v1::ReconcileResponse* response) {
  return Run(&quick_, "store.Reconcile", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const PublishedPage page, store_->Reconcile(request->incarnation(), request->after()));
    response->set_highest_incarnation(page.highest_incarnation);
    for (const PublishedEntry& entry : page.published) {
      v1::PublishedJob* job = response->add_published();
      job->set_tenant(entry.tenant);
      job->set_job(entry.job);
      job->set_artifact(entry.artifact.Hex());
      job->mutable_token()->set_incarnation(entry.token.incarnation);
      job->mutable_token()->set_epoch(entry.token.epoch);
      job->mutable_token()->set_random(entry.token.random);
    }
    response->set_next_after(page.next_after);
    return absl::OkStatus();
  });
}

ArtifactService::Unary* ArtifactService::GetArtifact(Context* context, const v1::GetArtifactRequest* request, v1::Artifact* response) {
  return Run(&quick_, "store.GetArtifact", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request->tenant()));
    return ToProto(store_->GetArtifact(tenant, request->artifact()), response);
  });
}

ArtifactService::Unary* ArtifactService::GetManifest(Context* context, const v1::GetManifestRequest* request,
                                                     v1::GetManifestResponse* response) {
  return Run(&quick_, "store.GetManifest", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request->tenant()));
    SWAGE_ASSIGN_OR_RETURN(auto manifest, store_->GetManifest(tenant, request->artifact()));
    response->set_id(manifest.first.Hex());
    response->set_manifest_json(std::move(manifest.second));
    return absl::OkStatus();
  });
}

ArtifactService::Unary* ArtifactService::ListArtifacts(Context* context, const v1::ListArtifactsRequest* request,
                                                       v1::ListArtifactsResponse* response) {
  return Run(&quick_, "store.ListArtifacts", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request->tenant()));
    SWAGE_ASSIGN_OR_RETURN(const ArtifactPage page, store_->ListArtifacts(tenant, request->page_size(), request->page_token()));
    for (const ArtifactRecord& record : page.artifacts) ToProto(record, response->add_artifacts());
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  });
}

ArtifactService::Unary* ArtifactService::SetAlias(Context* context, const v1::SetAliasRequest* request, v1::Artifact* response) {
  return Run(&quick_, "store.SetAlias", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request->tenant()));
    return ToProto(store_->SetAlias(tenant, request->alias(), request->artifact()), response);
  });
}

ArtifactService::Unary* ArtifactService::DeleteArtifact(Context* context, const v1::DeleteArtifactRequest* request,
                                                        v1::DeleteArtifactResponse*) {
  return Run(&quick_, "store.DeleteArtifact", context, [this, request]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request->tenant()));
    return store_->DeleteArtifact(tenant, request->artifact());
  });
}

ArtifactService::Unary* ArtifactService::CollectGarbage(Context* context, const v1::CollectGarbageRequest* request,
                                                        v1::CollectGarbageResponse* response) {
  return Run(&slow_, "store.CollectGarbage", context, [this, request, response]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(const GarbageTotals totals, store_->CollectGarbage(request->dry_run()));
    response->set_objects(totals.objects);
    response->set_bytes(totals.bytes);
    return absl::OkStatus();
  });
}

}  // namespace swage
