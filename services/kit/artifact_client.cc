#include "services/kit/artifact_client.h"

#include <algorithm>
#include <thread>

#include "base/rng.h"
#include "services/kit/artifact_state.h"

namespace swage {

using SteadyClock = std::chrono::steady_clock;

StatusOr<Digest> DigestFromBytes(const std::string& bytes) {
  Digest digest;
  if (bytes.size() != digest.bytes.size()) return Internal("the store answered with a digest that is not 32 bytes");
  std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
  return digest;
}

ArtifactInfo ToInfo(const v1::Artifact& artifact) {
  ArtifactInfo info;
  info.id = artifact.id();
  info.kind = artifact.kind();
  info.job = artifact.job();
  info.aliases.assign(artifact.aliases().begin(), artifact.aliases().end());
  info.total_bytes = artifact.total_bytes();
  info.stored_bytes = artifact.stored_bytes();
  info.files = artifact.files();
  info.objects = artifact.objects();
  info.create_unix_nanos = artifact.create_time().seconds() * 1000000000 + artifact.create_time().nanos();
  return info;
}

void Backoff::Progress() {
  last_progress_ = SteadyClock::now();
  wait_ms_ = 20;
}

bool Backoff::Wait() {
  if (SteadyClock::now() - last_progress_ >= std::chrono::milliseconds(retry_ms_)) return false;
  // Jitter keeps clients that were cut together from coming back together.
  std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms_ / 2 + RandomU64() % (wait_ms_ / 2 + 1)));
  wait_ms_ = std::min(wait_ms_ * 2, 1000);
  return true;
}

void ProgressMeter::Add(uint64_t bytes, bool skipped) {
  std::lock_guard<std::mutex> lock(mutex_);
  state_.done += bytes;
  if (skipped) state_.skipped += bytes;
  Maybe(false);
}

void ProgressMeter::SetDone(uint64_t done) {
  std::lock_guard<std::mutex> lock(mutex_);
  state_.done = done;
}

void ProgressMeter::Last() {
  std::lock_guard<std::mutex> lock(mutex_);
  Maybe(true);
}

void ProgressMeter::Maybe(bool force) {
  if (!callback_) return;
  const auto now = SteadyClock::now();
  if (!force && now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  callback_(state_);
}

ArtifactClient::State::Call::Call(State* state, int deadline_ms) : state_(state) {
  std::lock_guard<std::mutex> lock(state->mutex);
  PrepareContext(&context, deadline_ms, state->trace);
  state->calls.insert(&context);
  if (state->cancelled) context.TryCancel();
}

ArtifactClient::State::Call::~Call() {
  std::lock_guard<std::mutex> lock(state_->mutex);
  state_->calls.erase(&context);
}

bool ArtifactClient::State::Cancelled() {
  std::lock_guard<std::mutex> lock(mutex);
  return cancelled;
}

bool ArtifactClient::State::ShouldRetry(const Status& status) {
  switch (status.code()) {
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kCancelled:  // a server that goes down ends its calls so
    case StatusCode::kAborted:
      return !Cancelled();
    default:
      return false;
  }
}

Status ArtifactClient::State::Explain(const Status& status) {
  if (Cancelled()) return Error(StatusCode::kCancelled, "CANCELLED", "the transfer was cancelled");
  if (ReasonOf(status) != "UNREACHABLE" && status.code() != StatusCode::kDeadlineExceeded) return status;
  return Unavailable("UNREACHABLE", Cat("the store at ", address, " does not answer (", MessageOf(status), ")"),
                     "check that it runs and that the address is right, then do the same again: it goes on where it stopped");
}

ArtifactClient::ArtifactClient(std::string address, std::string tenant, int retry_ms)
    : state_(std::make_unique<State>()) {
  state_->stub = v1::ArtifactService::NewStub(NewChannel(address));
  state_->address = std::move(address);
  state_->tenant = std::move(tenant);
  state_->retry_ms = retry_ms;
}

ArtifactClient::~ArtifactClient() = default;

void ArtifactClient::SetTraceParent(const SpanContext& parent) {
  std::lock_guard<std::mutex> lock(state_->mutex);
  state_->trace = parent;
}

void ArtifactClient::Cancel() {
  std::lock_guard<std::mutex> lock(state_->mutex);
  state_->cancelled = true;
  for (grpc::ClientContext* call : state_->calls) call->TryCancel();
}

StatusOr<ArtifactInfo> ArtifactClient::Commit(const Manifest& manifest, const std::string& upload_id,
                                              const std::string& alias) {
  v1::CommitManifestRequest request;
  request.set_tenant(state_->tenant);
  request.set_upload_id(upload_id);
  request.set_manifest_json(manifest.ToJson());
  request.set_alias(alias);
  v1::Artifact artifact;
  SWAGE_RETURN_IF_ERROR(state_->Unary(&v1::ArtifactService::Stub::CommitManifest, request, &artifact,
                                      limits::kStreamIdleDeadlineMs));
  return ToInfo(artifact);
}

StatusOr<ArtifactInfo> ArtifactClient::Get(const std::string& id_or_alias) {
  v1::GetArtifactRequest request;
  request.set_tenant(state_->tenant);
  request.set_artifact(id_or_alias);
  v1::Artifact artifact;
  SWAGE_RETURN_IF_ERROR(state_->Unary(&v1::ArtifactService::Stub::GetArtifact, request, &artifact));
  return ToInfo(artifact);
}

StatusOr<Manifest> ArtifactClient::GetManifest(const std::string& id_or_alias) {
  v1::GetManifestRequest request;
  request.set_tenant(state_->tenant);
  request.set_artifact(id_or_alias);
  v1::GetManifestResponse response;
  SWAGE_RETURN_IF_ERROR(state_->Unary(&v1::ArtifactService::Stub::GetManifest, request, &response));
  // The id is the digest of these bytes, so that whoever is between us and the store cannot change them.
  if (Sha256Of(response.manifest_json()).Hex() != response.id()) {
    return DataLoss("MANIFEST_CORRUPT", Cat("the manifest of ", id_or_alias, " does not have the digest that names it"));
  }
  return ParseManifest(response.manifest_json());
}

StatusOr<std::vector<ArtifactInfo>> ArtifactClient::List() {
  std::vector<ArtifactInfo> all;
  v1::ListArtifactsRequest request;
  request.set_tenant(state_->tenant);
  request.set_page_size(500);
  do {
    v1::ListArtifactsResponse response;
    SWAGE_RETURN_IF_ERROR(state_->Unary(&v1::ArtifactService::Stub::ListArtifacts, request, &response));
    for (const auto& artifact : response.artifacts()) all.push_back(ToInfo(artifact));
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

StatusOr<ArtifactInfo> ArtifactClient::SetAlias(const std::string& alias, const std::string& id) {
  v1::SetAliasRequest request;
  request.set_tenant(state_->tenant);
  request.set_alias(alias);
  request.set_artifact(id);
  v1::Artifact artifact;
  SWAGE_RETURN_IF_ERROR(state_->Unary(&v1::ArtifactService::Stub::SetAlias, request, &artifact));
  return ToInfo(artifact);
}

Status ArtifactClient::Delete(const std::string& id_or_alias) {
  v1::DeleteArtifactRequest request;
  request.set_tenant(state_->tenant);
  request.set_artifact(id_or_alias);
  v1::DeleteArtifactResponse response;
  return state_->Unary(&v1::ArtifactService::Stub::DeleteArtifact, request, &response);
}

}  // namespace swage
