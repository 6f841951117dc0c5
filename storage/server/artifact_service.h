// ArtifactService over storage/core: gRPC's callback API; all disk work runs in two small pools, the quick one for
// chunks of streams and short calls, the slow one for calls that may read a whole model.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "base/telemetry/trace.h"
#include "storage/core/store.h"
#include "storage/server/stream_watch.h"
#include "storage/server/work_pool.h"
#include "swage/v1/artifact.grpc.pb.h"

namespace swage {

StatusOr<Digest> DigestFromRequest(const std::string& bytes);  // INVALID_ARGUMENT/BAD_DIGEST
Status TooBusy();

class ArtifactService : public v1::ArtifactService::CallbackService {
 public:
  ArtifactService(Store* store, Clock* clock, Tracer* tracer);

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;
  Unary* FindMissing(Context*, const v1::FindMissingRequest*, v1::FindMissingResponse*) override;
  grpc::ServerReadReactor<v1::WriteRequest>* Write(Context*, v1::WriteResponse*) override;       // transfer_reactors.cc
  grpc::ServerWriteReactor<v1::ReadResponse>* Read(Context*, const v1::ReadRequest*) override;   // transfer_reactors.cc
  Unary* QueryWrite(Context*, const v1::QueryWriteRequest*, v1::QueryWriteResponse*) override;
  Unary* CommitManifest(Context*, const v1::CommitManifestRequest*, v1::Artifact*) override;
  Unary* Prepare(Context*, const v1::PrepareRequest*, v1::PrepareResponse*) override;
  Unary* Publish(Context*, const v1::PublishRequest*, v1::Artifact*) override;
  Unary* Reconcile(Context*, const v1::ReconcileRequest*, v1::ReconcileResponse*) override;
  Unary* GetArtifact(Context*, const v1::GetArtifactRequest*, v1::Artifact*) override;
  Unary* GetManifest(Context*, const v1::GetManifestRequest*, v1::GetManifestResponse*) override;
  Unary* ListArtifacts(Context*, const v1::ListArtifactsRequest*, v1::ListArtifactsResponse*) override;
  Unary* SetAlias(Context*, const v1::SetAliasRequest*, v1::Artifact*) override;
  Unary* DeleteArtifact(Context*, const v1::DeleteArtifactRequest*, v1::DeleteArtifactResponse*) override;
  Unary* CollectGarbage(Context*, const v1::CollectGarbageRequest*, v1::CollectGarbageResponse*) override;

  StreamWatch* streams() { return &streams_; }
  Span StartSpan(const char* name, const grpc::ServerContextBase& context);

 private:
  template <typename Work>
  Unary* Run(WorkPool* pool, const char* name, Context* context, Work work);

  Store* store_;
  Tracer* tracer_;  // may be null
  StreamWatch streams_;
  WorkPool quick_, slow_;  // last: they end before what their work uses
};

}  // namespace swage
