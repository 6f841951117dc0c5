#include "workers/daemon/checkpoint_share.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/log.h"

namespace swage {
namespace {

constexpr char kKind[] = "checkpoint";
constexpr char kState[] = "state.json";
constexpr uint64_t kStateBytes = 256u << 20;
constexpr int kShareRetryMs = 10000;

bool IsBlock(const std::string& name) { return StartsWith(name, "block-") && EndsWith(name, ".safetensors"); }

// A second name for a file that is never written again; a copy where the disk cannot do that.
Status LinkOrCopy(Env* env, const std::string& from, const std::string& to) {
  if (env->Link(from, to).ok()) return absl::OkStatus();
  std::error_code error;
  std::filesystem::copy_file(from, to, error);
  return error ? PosixError(error.value(), Cat("copying ", from)) : absl::OkStatus();
}

}  // namespace

CheckpointShare::CheckpointShare(Env* env, const std::string& store_address, const std::string& tenant, std::string work,
                                 std::string stage)
    : env_(env), work_(std::move(work)), stage_(std::move(stage)), client_(store_address, tenant, kShareRetryMs) {}

void CheckpointShare::TakeOver(const std::string& artifact) {
  const Status status = TryTakeOver(artifact);
  if (!status.ok()) LogWarning("checkpoint ", artifact, " is not used: ", MessageOf(status));
}

Status CheckpointShare::TryTakeOver(const std::string& artifact) {
  SWAGE_RETURN_IF_ERROR(Digest::FromHex(artifact));
  SWAGE_ASSIGN_OR_RETURN(const Manifest manifest, client_.GetManifest(artifact));
  if (manifest.kind != kKind) return InvalidInput("NOT_A_CHECKPOINT", Cat("it is of kind ", manifest.kind));
  uint64_t bytes = 0;
  int64_t blocks = 0;
  bool state = false;
  for (const ManifestFile& file : manifest.files) {
    const bool block = IsBlock(file.path) && file.path.find('/') == std::string::npos;
    if (!block && file.path != kState) return InvalidInput("NOT_A_CHECKPOINT", Cat("it has a file ", file.path));
    bytes += file.size;
    blocks += block;
    state = state || file.path == kState;
  }
  if (!state) return InvalidInput("NOT_A_CHECKPOINT", Cat("it has no ", kState));
  SWAGE_RETURN_IF_ERROR(env_->CreateDirs(work_));
  // An earlier child may be on its way out.
  SWAGE_ASSIGN_OR_RETURN(const auto lock, env_->Lock(JoinPath(work_, "lock"), /*wait=*/true));
  SWAGE_ASSIGN_OR_RETURN(const auto here, env_->ListDir(work_));
  const auto own = std::count_if(here.begin(), here.end(), [](const DirEntry& entry) { return IsBlock(entry.name); });
  if (env_->Exists(JoinPath(work_, kState)) && own >= blocks) return absl::OkStatus();
  SWAGE_ASSIGN_OR_RETURN(const uint64_t free_bytes, env_->FreeBytes(work_));
  if (free_bytes / 2 < bytes) return Error(StatusCode::kResourceExhausted, "DISK_FULL", "too little of the disk is free");
  LogInfo("going on from checkpoint ", artifact, " with ", blocks, " blocks; ", own, " were here");
  SWAGE_RETURN_IF_ERROR(client_.Download(artifact, work_, nullptr));
  SWAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(env_, JoinPath(work_, kState), kStateBytes));
  shared_ = Sha256Of(text);
  return absl::OkStatus();
}

// The state file first: blocks that it names are complete, and are never written again.
Status CheckpointShare::Snapshot(Digest* state) {
  SWAGE_RETURN_IF_ERROR(env_->RemoveTree(stage_));
  SWAGE_RETURN_IF_ERROR(env_->CreateDirs(stage_));
  SWAGE_RETURN_IF_ERROR(LinkOrCopy(env_, JoinPath(work_, kState), JoinPath(stage_, kState)));
  SWAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(env_, JoinPath(stage_, kState), kStateBytes));
  *state = Sha256Of(text);
  if (*state == shared_) return absl::OkStatus();
  SWAGE_ASSIGN_OR_RETURN(const auto entries, env_->ListDir(work_));
  for (const DirEntry& entry : entries) {
    if (!IsBlock(entry.name)) continue;
    SWAGE_RETURN_IF_ERROR(LinkOrCopy(env_, JoinPath(work_, entry.name), JoinPath(stage_, entry.name)));
  }
  return absl::OkStatus();
}

StatusOr<std::string> CheckpointShare::Share() {
  if (!env_->Exists(JoinPath(work_, kState))) return std::string();
  Digest state;
  Status status = Snapshot(&state);
  std::string id;
  if (status.ok() && state != shared_) {
    const auto uploaded = client_.UploadFolder(stage_, kKind, "", nullptr);
    status = uploaded.status();
    if (uploaded.ok()) {
      id = uploaded->id;
      shared_ = state;
    }
  }
  if (const Status removed = env_->RemoveTree(stage_); !removed.ok()) LogWarning("scratch: ", MessageOf(removed));
  SWAGE_RETURN_IF_ERROR(status);
  return id;
}

}  // namespace swage
