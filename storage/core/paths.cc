#include "storage/core/paths.h"

#include <algorithm>
#include <charconv>

#include "base/env.h"
#include "base/limits.h"
#include "base/text.h"

namespace swage {
namespace {

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool IsPathName(const std::string& name) {
  if (name.empty() || name.size() > limits::kNameBytes) return false;
  for (const std::string& part : Split(name, '/')) {
    if (part.empty() || part == "." || part == ".." || !std::all_of(part.begin(), part.end(), IsNameChar)) return false;
  }
  return true;
}

std::string FileName(std::string name) {
  std::replace(name.begin(), name.end(), '/', '+');
  return name;
}

}  // namespace

Status CheckTenantName(const std::string& tenant) {
  const auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (!tenant.empty() && tenant.size() <= 63 && std::all_of(tenant.begin(), tenant.end(), good)) return absl::OkStatus();
  return InvalidInput("BAD_TENANT", "a tenant is 1 to 63 of a-z, 0-9 and '-'", "correct the tenant's name");
}

Status CheckUploadName(const std::string& upload) {
  const auto good = [](char c) { return IsNameChar(c) && c != '.'; };
  if (!upload.empty() && upload.size() <= 64 && std::all_of(upload.begin(), upload.end(), good)) return absl::OkStatus();
  return InvalidInput("BAD_UPLOAD_ID", "an upload_id is 1 to 64 of A-Z, a-z, 0-9, '_' and '-'", "choose another upload_id");
}

Status CheckJobName(const std::string& job) {
  if (IsPathName(job)) return absl::OkStatus();
  return InvalidInput("BAD_JOB_NAME", Cat("a job's name is parts of letters, digits, '.', '_' and '-' joined by '/', at most ",
                                          limits::kNameBytes, " bytes"), "give the name that CreateJob returned");
}

StatusOr<AliasName> ParseAlias(const std::string& text) {
  AliasName alias;
  const size_t at = text.find('@');
  alias.name = text.substr(0, at);
  bool good = IsPathName(alias.name) && !Digest::FromHex(alias.name).ok();
  if (good && at != std::string::npos) {
    const std::string_view version = std::string_view(text).substr(at + 1);
    uint32_t value = 0;
    good = version.size() >= 2 && version[0] == 'v' && version[1] != '0';
    if (good) {
      const auto [end, error] = std::from_chars(version.data() + 1, version.data() + version.size(), value);
      good = error == std::errc() && end == version.data() + version.size();
    }
    alias.version = value;
  }
  if (good) return alias;
  return InvalidInput("BAD_ALIAS", Cat("'", text.substr(0, 200), "' is neither an artifact's id (64 hex digits) nor a name like models/tiny or models/tiny@v2"),
                      "names are parts of letters, digits, '.', '_' and '-' joined by '/'");
}

std::string AliasText(const std::string& name, uint32_t version) { return Cat(name, "@v", version); }

std::string StorePaths::Lock() const { return JoinPath(root_, "LOCK"); }
std::string StorePaths::Index() const { return JoinPath(root_, "index.sqlite"); }
std::string StorePaths::Objects() const { return JoinPath(root_, "objects"); }
std::string StorePaths::Uploads() const { return JoinPath(root_, "uploads"); }
std::string StorePaths::ObjectDir(const Digest& digest) const { return Absolute(Cat("objects/", digest.Hex().substr(0, 2))); }
std::string StorePaths::Object(const Digest& digest) const { return Absolute(ObjectFile(digest)); }
std::string StorePaths::UploadDir(const std::string& tenant, const std::string& upload) const {
  return Absolute(Cat("uploads/", tenant, "/", upload));
}
std::string StorePaths::Absolute(const std::string& relative) const { return Cat(root_, "/", relative); }

std::string StorePaths::ObjectFile(const Digest& digest) {
  const std::string hex = digest.Hex();
  return Cat("objects/", hex.substr(0, 2), "/", hex.substr(2));
}
std::string StorePaths::ArtifactRecord(const std::string& tenant, const Digest& artifact) {
  return Cat("records/artifacts/", tenant, "/", artifact.Hex(), ".json");
}
std::string StorePaths::PreparedRecord(const std::string& tenant, const std::string& job, const Digest& artifact) {
  return Cat("records/prepared/", tenant, "/", FileName(job), "@", artifact.Hex(), ".json");
}
std::string StorePaths::PublishedRecord(const std::string& tenant, const std::string& job) {
  return Cat("records/published/", tenant, "/", FileName(job), ".json");
}
std::string StorePaths::AliasRecord(const std::string& tenant, const std::string& name) {
  return Cat("records/aliases/", tenant, "/", FileName(name), ".json");
}
std::string StorePaths::IncarnationRecord() { return "records/incarnation.json"; }

std::optional<Digest> StorePaths::ObjectOf(std::string_view relative) {
  constexpr std::string_view kPrefix = "objects/";
  if (!StartsWith(relative, kPrefix) || relative.size() != kPrefix.size() + 65 || relative[kPrefix.size() + 2] != '/') return std::nullopt;
  auto digest = Digest::FromHex(Cat(relative.substr(kPrefix.size(), 2), relative.substr(kPrefix.size() + 3)));
  if (!digest.ok()) return std::nullopt;
  return *digest;
}

}  // namespace swage
