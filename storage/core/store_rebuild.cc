// A new index from objects and records (docs/formats/store.md 7).
#include "base/limits.h"
#include "base/log.h"
#include "storage/core/store.h"

namespace swage {
namespace {

constexpr size_t kRebuildBatch = 4096;
constexpr uint64_t kRecordBytes = 16u << 20;

// Calls `use` with the content of every record below `path`, `depth` folders down.
Status ForEachRecord(Env* env, const std::string& path, int depth, const std::function<Status(const std::string&)>& use) {
  if (!env->Exists(path)) return absl::OkStatus();
  SWAGE_ASSIGN_OR_RETURN(const std::vector<DirEntry> entries, env->ListDir(path));
  for (const DirEntry& entry : entries) {
    const std::string child = Cat(path, "/", entry.name);
    if (entry.is_dir && depth > 0) {
      SWAGE_RETURN_IF_ERROR(ForEachRecord(env, child, depth - 1, use));
    } else if (!entry.is_dir && depth == 0 && EndsWith(entry.name, ".json")) {
      SWAGE_ASSIGN_OR_RETURN(const std::string content, ReadFile(env, child, kRecordBytes));
      const Status used = use(content);
      // A record that cannot be used must not keep the others from being.
      if (absl::IsDataLoss(used) || absl::IsNotFound(used)) LogError("store: ", child, ": ", MessageOf(used));
      else SWAGE_RETURN_IF_ERROR(used);
    }
  }
  return absl::OkStatus();
}

}  // namespace

Status Store::RebuildIndex() {
  SWAGE_RETURN_IF_ERROR(ReadObjectFiles());
  SWAGE_RETURN_IF_ERROR(ReadRecordFiles());
  // Parts stay resumable for the grace.
  SWAGE_ASSIGN_OR_RETURN(const std::vector<DirEntry> tenants, env_->ListDir(paths_.Uploads()));
  for (const DirEntry& tenant : tenants) {
    if (!tenant.is_dir || !CheckTenantName(tenant.name).ok()) continue;
    SWAGE_ASSIGN_OR_RETURN(const std::vector<DirEntry> uploads, env_->ListDir(Cat(paths_.Uploads(), "/", tenant.name)));
    for (const DirEntry& upload : uploads) {
      if (CheckUploadName(upload.name).ok()) SWAGE_RETURN_IF_ERROR(index_->RestoreUpload({tenant.name, upload.name}, LeaseEnd()));
    }
  }
  return absl::OkStatus();
}

Status Store::ReadObjectFiles() {
  std::vector<ObjectSizes> batch;
  uint64_t found = 0, damaged = 0;
  SWAGE_ASSIGN_OR_RETURN(const std::vector<DirEntry> dirs, env_->ListDir(paths_.Objects()));
  for (const DirEntry& dir : dirs) {
    const std::string dir_path = Cat(paths_.Objects(), "/", dir.name);
    SWAGE_ASSIGN_OR_RETURN(const std::vector<DirEntry> files, env_->ListDir(dir_path));
    if (files.empty()) continue;
    SWAGE_RETURN_IF_ERROR(env_->SyncDir(dir_path));  // a process may have died between a rename and this
    for (const DirEntry& entry : files) {
      const auto digest = StorePaths::ObjectOf(Cat("objects/", dir.name, "/", entry.name));
      if (!digest.has_value()) continue;
      SWAGE_ASSIGN_OR_RETURN(auto file, env_->NewReadableFile(paths_.Object(*digest)));
      const uint64_t size = file->size();
      const auto layout = ReadObjectLayout(*file, 0, size);
      if (!layout.ok() || layout->digest != *digest) {
        ++damaged;
        LogError("store: object ", digest->Hex(), " is damaged and counts as missing");
        continue;
      }
      ++found;
      batch.push_back({*digest, layout->raw_size, size});
      if (batch.size() == kRebuildBatch) {
        SWAGE_RETURN_IF_ERROR(index_->RestoreObjects(batch, LeaseEnd()));
        batch.clear();
      }
    }
  }
  if (found + damaged > 0) LogInfo("store: index rebuilt, objects=", found, " damaged=", damaged);
  return batch.empty() ? absl::OkStatus() : index_->RestoreObjects(batch, LeaseEnd());
}

Status Store::ReadRecordFiles() {
  const std::string records = paths_.Absolute("records");
  const auto summarize = [this](const Digest& artifact) -> StatusOr<ManifestSummary> {
    SWAGE_ASSIGN_OR_RETURN(const auto place, index_->FindObject(artifact));
    if (!place.has_value()) return NotFound("OBJECT_MISSING", Cat("the manifest of artifact ", artifact.Hex(), " is lost"));
    SWAGE_ASSIGN_OR_RETURN(const auto manifest, LoadManifest(artifact));
    return SummarizeManifest(*manifest, artifact, place->raw_size);
  };
  if (const std::string path = paths_.Absolute(StorePaths::IncarnationRecord()); env_->Exists(path)) {
    SWAGE_ASSIGN_OR_RETURN(const std::string json, ReadFile(env_, path, kRecordBytes));
    SWAGE_ASSIGN_OR_RETURN(const uint64_t incarnation, ParseIncarnation(json));
    SWAGE_RETURN_IF_ERROR(index_->RaiseIncarnation(incarnation).status());
  }
  SWAGE_RETURN_IF_ERROR(ForEachRecord(env_, Cat(records, "/artifacts"), 1, [&](const std::string& json) -> Status {
    SWAGE_ASSIGN_OR_RETURN(const ArtifactEntry entry, ParseArtifactEntry(json));
    SWAGE_ASSIGN_OR_RETURN(const ManifestSummary summary, summarize(entry.artifact));
    SWAGE_ASSIGN_OR_RETURN(const bool complete, index_->RestoreArtifact(entry, summary));
    if (!complete) LogError("store: artifact ", entry.artifact.Hex(), " of ", entry.tenant, " has lost objects and is not shown");
    return absl::OkStatus();
  }));
  SWAGE_RETURN_IF_ERROR(ForEachRecord(env_, Cat(records, "/prepared"), 1, [&](const std::string& json) -> Status {
    SWAGE_ASSIGN_OR_RETURN(const PreparedEntry entry, ParsePreparedEntry(json));
    SWAGE_ASSIGN_OR_RETURN(const ManifestSummary summary, summarize(entry.artifact));
    return index_->RestorePrepared(entry, summary);
  }));
  SWAGE_RETURN_IF_ERROR(ForEachRecord(env_, Cat(records, "/published"), 1, [&](const std::string& json) -> Status {
    SWAGE_ASSIGN_OR_RETURN(const PublishedEntry entry, ParsePublishedEntry(json));
    return index_->RestorePublished(entry);
  }));
  return ForEachRecord(env_, Cat(records, "/aliases"), 1, [&](const std::string& json) -> Status {
    SWAGE_ASSIGN_OR_RETURN(const AliasEntry entry, ParseAliasEntry(json));
    return index_->RestoreAlias(entry);
  });
}

}  // namespace swage
