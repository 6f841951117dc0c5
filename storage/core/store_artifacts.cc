// Manifests, artifacts, results of jobs.
#include <algorithm>
#include <unordered_map>

#include "base/limits.h"
#include "storage/core/store.h"

namespace swage {
namespace {

constexpr size_t kKeptManifests = 4;

// One digest for "these parts in this order".
Digest DigestOfParts(const ManifestFile& file) {
  Sha256 sha;
  for (const FilePart& part : file.parts) sha.Update(std::string_view(reinterpret_cast<const char*>(part.object.bytes.data()), 32));
  return sha.Finish();
}

Status FileMismatch(const ManifestFile& file, const Digest& actual) {
  return InvalidInput("DIGEST_MISMATCH", Cat("the parts of '", file.path, "' have SHA-256 ", actual.Hex(), " together, the manifest says ",
                                             file.sha256.Hex()), "build the manifest again from the files");
}

}  // namespace

StatusOr<ManifestSummary> SummarizeManifest(const Manifest& manifest, const Digest& id, uint64_t json_bytes) {
  ManifestSummary summary{id, manifest.kind, manifest.total_bytes(), manifest.files.size(), {}};
  for (const ManifestFile& file : manifest.files) {
    for (const FilePart& part : file.parts) summary.objects.push_back({part.object, part.size, 0});
  }
  summary.objects.push_back({id, json_bytes, 0});
  std::sort(summary.objects.begin(), summary.objects.end(), [](const ObjectSizes& a, const ObjectSizes& b) { return a.digest < b.digest; });
  size_t kept = 0;
  for (const ObjectSizes& object : summary.objects) {
    if (kept > 0 && summary.objects[kept - 1].digest == object.digest) {
      if (summary.objects[kept - 1].raw_size == object.raw_size) continue;
      return InvalidInput("SIZE_MISMATCH", Cat("the manifest gives object ", object.digest.Hex(), " two sizes"), "build the manifest again from the files");
    }
    summary.objects[kept++] = object;
  }
  summary.objects.resize(kept);
  return summary;
}

Status Store::VerifyFile(const ManifestFile& file) {
  if (file.parts.empty()) {
    return file.sha256 == Sha256Of("") ? absl::OkStatus() : FileMismatch(file, Sha256Of(""));
  }
  if (file.parts.size() == 1) {  // its object was hashed when it came in
    return file.parts[0].object == file.sha256 ? absl::OkStatus() : FileMismatch(file, file.parts[0].object);
  }
  const Digest parts = DigestOfParts(file);
  SWAGE_ASSIGN_OR_RETURN(const bool verified, index_->IsVerifiedFile(file.sha256, parts));
  if (verified) return absl::OkStatus();
  Sha256 sha;
  std::string buffer;
  for (const FilePart& part : file.parts) {
    SWAGE_ASSIGN_OR_RETURN(auto source, OpenStored(part.object));
    for (uint64_t at = 0; at < source->size(); at += buffer.size()) {
      buffer.resize(std::min<uint64_t>(limits::kFrameBytes, source->size() - at));
      SWAGE_RETURN_IF_ERROR(source->Read(at, buffer.size(), buffer.data()));
      sha.Update(buffer);
    }
  }
  const Digest actual = sha.Finish();
  if (actual != file.sha256) return FileMismatch(file, actual);
  // Remembered file by file: a client that gives up on a large commit finds it shorter when it tries again.
  return index_->AddVerifiedFile(file.sha256, parts);
}

Status Store::VerifyFiles(const Manifest& manifest) {
  for (const ManifestFile& file : manifest.files) SWAGE_RETURN_IF_ERROR(VerifyFile(file));
  return absl::OkStatus();
}

// Everything that commit and prepare have in common: afterwards all that the manifest names is durable, leased and verified.
Status Store::StoreManifest(const std::string& tenant, const std::string& upload, std::string_view json, ManifestSummary* summary) {
  SWAGE_RETURN_IF_ERROR(CheckTenantName(tenant));
  SWAGE_RETURN_IF_ERROR(CheckUploadName(upload));
  if (json.size() > limits::kManifestBytes) {
    return InvalidInput("MANIFEST_TOO_LARGE", Cat("the manifest has ", json.size(), " bytes; at most ", limits::kManifestBytes, " are taken"),
                        "split the artifact");
  }
  SWAGE_ASSIGN_OR_RETURN(const Manifest manifest, ParseManifest(json));
  if (manifest.ToJson() != json) {
    return InvalidInput("MANIFEST_NOT_CANONICAL", "the manifest is not in canonical form", "write it as docs/formats/manifest.md says");
  }
  const Digest id = Sha256Of(json);
  SWAGE_ASSIGN_OR_RETURN(*summary, SummarizeManifest(manifest, id, json.size()));
  if (index_->Get(tenant, id).ok()) return absl::OkStatus();  // this tenant has it, whole
  ManifestSummary named = *summary;
  std::erase_if(named.objects, [&](const ObjectSizes& object) { return object.digest == id; });
  SWAGE_RETURN_IF_ERROR(index_->LeaseForManifest(tenant, upload, named, LeaseEnd()));
  SWAGE_RETURN_IF_ERROR(VerifyFiles(manifest));
  return PutBytes(tenant, upload, id, json);
}

StatusOr<ArtifactRecord> Store::Commit(const std::string& tenant, const std::string& upload, std::string_view manifest_json,
                                       const std::string& alias) {
  if (!alias.empty()) SWAGE_RETURN_IF_ERROR(ParseAlias(alias).status());  // before the work
  ManifestSummary summary;
  SWAGE_RETURN_IF_ERROR(StoreManifest(tenant, upload, manifest_json, &summary));
  SWAGE_ASSIGN_OR_RETURN(ArtifactRecord record, index_->Commit(tenant, upload, summary, alias, config_.clock->UnixNanos()));
  SWAGE_RETURN_IF_ERROR(WriteRecords());
  return record;
}

StatusOr<Digest> Store::Prepare(const std::string& tenant, const std::string& upload, const std::string& job, const ResultToken& token,
                                std::string_view manifest_json) {
  SWAGE_RETURN_IF_ERROR(CheckJobName(job));
  ManifestSummary summary;
  SWAGE_RETURN_IF_ERROR(StoreManifest(tenant, upload, manifest_json, &summary));
  SWAGE_RETURN_IF_ERROR(index_->Prepare({tenant, job, summary.id, token, NowMillis()}, summary));
  SWAGE_RETURN_IF_ERROR(WriteRecords());
  return summary.id;
}

StatusOr<ArtifactRecord> Store::Publish(const std::string& tenant, const std::string& job, const ResultToken& token, uint64_t incarnation,
                                        const std::string& artifact, const std::string& alias) {
  SWAGE_RETURN_IF_ERROR(CheckTenantName(tenant));
  SWAGE_RETURN_IF_ERROR(CheckJobName(job));
  if (!alias.empty()) SWAGE_RETURN_IF_ERROR(ParseAlias(alias).status());
  SWAGE_ASSIGN_OR_RETURN(const Digest id, Digest::FromHex(artifact));
  SWAGE_ASSIGN_OR_RETURN(ArtifactRecord record, index_->Publish({tenant, job, id, token}, incarnation, alias, config_.clock->UnixNanos()));
  SWAGE_RETURN_IF_ERROR(WriteRecords());
  return record;
}

StatusOr<PublishedPage> Store::Reconcile(uint64_t incarnation, const std::string& after, int page_size) {
  PublishedPage page;
  SWAGE_ASSIGN_OR_RETURN(page.highest_incarnation, index_->RaiseIncarnation(incarnation));
  SWAGE_RETURN_IF_ERROR(WriteRecords());
  const size_t slash = after.find('/');
  const std::string job = slash == std::string::npos ? "" : after.substr(slash + 1);
  SWAGE_ASSIGN_OR_RETURN(page.published, index_->ListPublished(after.substr(0, slash), job, page_size));
  if (static_cast<int>(page.published.size()) == page_size) {
    page.next_after = Cat(page.published.back().tenant, "/", page.published.back().job);
  }
  return page;
}

StatusOr<std::shared_ptr<const Manifest>> Store::LoadManifest(const Digest& artifact) {
  {
    std::lock_guard lock(manifests_mutex_);
    const auto found = std::find_if(manifests_.begin(), manifests_.end(), [&](const auto& kept) { return kept.first == artifact; });
    if (found != manifests_.end()) {
      std::rotate(manifests_.begin(), found, found + 1);
      return manifests_.front().second;
    }
  }
  SWAGE_ASSIGN_OR_RETURN(const std::string json, ReadStored(artifact, limits::kManifestBytes));
  auto parsed = ParseManifest(json);
  if (!parsed.ok()) return DataLoss("MANIFEST_CORRUPT", Cat("artifact ", artifact.Hex(), ": ", MessageOf(parsed.status())));
  auto manifest = std::make_shared<const Manifest>(std::move(*parsed));
  std::lock_guard lock(manifests_mutex_);
  manifests_.insert(manifests_.begin(), {artifact, manifest});
  if (manifests_.size() > kKeptManifests) manifests_.pop_back();
  return manifest;
}

StatusOr<ArtifactRecord> Store::GetArtifact(const std::string& tenant, const std::string& artifact) {
  SWAGE_RETURN_IF_ERROR(CheckTenantName(tenant));
  SWAGE_ASSIGN_OR_RETURN(const Digest id, index_->Resolve(tenant, artifact));
  return index_->Get(tenant, id);
}

StatusOr<std::pair<Digest, std::string>> Store::GetManifest(const std::string& tenant, const std::string& artifact) {
  SWAGE_ASSIGN_OR_RETURN(const ArtifactRecord record, GetArtifact(tenant, artifact));
  SWAGE_ASSIGN_OR_RETURN(std::string json, ReadStored(record.id, limits::kManifestBytes));
  return std::make_pair(record.id, std::move(json));
}

StatusOr<ArtifactPage> Store::ListArtifacts(const std::string& tenant, int page_size, const std::string& page_token) {
  SWAGE_RETURN_IF_ERROR(CheckTenantName(tenant));
  return index_->List(tenant, page_size, page_token);
}

StatusOr<ArtifactRecord> Store::SetAlias(const std::string& tenant, const std::string& alias, const std::string& artifact) {
  SWAGE_RETURN_IF_ERROR(CheckTenantName(tenant));
  SWAGE_ASSIGN_OR_RETURN(const Digest id, index_->Resolve(tenant, artifact));
  SWAGE_ASSIGN_OR_RETURN(ArtifactRecord record, index_->SetAlias(tenant, alias, id));
  SWAGE_RETURN_IF_ERROR(WriteRecords());
  return record;
}

Status Store::DeleteArtifact(const std::string& tenant, const std::string& artifact) {
  SWAGE_RETURN_IF_ERROR(CheckTenantName(tenant));
  SWAGE_RETURN_IF_ERROR(index_->Delete(tenant, artifact));
  return WriteRecords();
}

}  // namespace swage
