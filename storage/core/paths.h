// Names of things in the store and where they lie in its folder (docs/formats/store.md 1). Names come from outside:
// each is checked before it becomes part of a path.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/status.h"

namespace swage {

Status CheckTenantName(const std::string& tenant);      // 1-63 of [a-z0-9-]; INVALID_ARGUMENT/BAD_TENANT
Status CheckUploadName(const std::string& upload);      // 1-64 of [A-Za-z0-9_-]; BAD_UPLOAD_ID
Status CheckJobName(const std::string& job);            // parts of [A-Za-z0-9._-] joined by '/'; BAD_JOB_NAME

// "models/tiny" or "models/tiny@v3".
struct AliasName {
  std::string name;
  std::optional<uint32_t> version;
};
StatusOr<AliasName> ParseAlias(const std::string& text);  // INVALID_ARGUMENT/BAD_ALIAS
std::string AliasText(const std::string& name, uint32_t version);

class StorePaths {
 public:
  explicit StorePaths(std::string root) : root_(std::move(root)) {}
  const std::string& root() const { return root_; }
  std::string Lock() const;
  std::string Index() const;
  std::string Objects() const;
  std::string Uploads() const;
  std::string ObjectDir(const Digest& digest) const;
  std::string Object(const Digest& digest) const;
  std::string UploadDir(const std::string& tenant, const std::string& upload) const;
  std::string Absolute(const std::string& relative) const;

  // Relative to the root, as the outbox holds them.
  static std::string ObjectFile(const Digest& digest);
  static std::string ArtifactRecord(const std::string& tenant, const Digest& artifact);
  static std::string PreparedRecord(const std::string& tenant, const std::string& job, const Digest& artifact);
  static std::string PublishedRecord(const std::string& tenant, const std::string& job);
  static std::string AliasRecord(const std::string& tenant, const std::string& name);
  static std::string IncarnationRecord();
  // The digest, when `relative` is a path that ObjectFile makes.
  static std::optional<Digest> ObjectOf(std::string_view relative);

 private:
  std::string root_;
};

}  // namespace swage
