// The record files that mirror the index (docs/formats/store.md 4): what the index is rebuilt from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/status.h"

namespace swage {

// swage.v1.Token: names one assignment of a job.
struct ResultToken {
  uint64_t incarnation = 0, epoch = 0, random = 0;
  bool operator==(const ResultToken&) const = default;
};

struct ArtifactEntry {
  std::string tenant;
  Digest artifact;
  std::string job;
  int64_t create_unix_nanos = 0;
};
struct PreparedEntry {
  std::string tenant, job;
  Digest artifact;
  ResultToken token;
  int64_t create_unix_millis = 0;
};
struct PublishedEntry {
  std::string tenant, job;
  Digest artifact;
  ResultToken token;
};
struct AliasEntry {
  std::string tenant, name;
  uint32_t next_version = 1;
  std::map<uint32_t, Digest> versions;
};

std::string ToJson(const ArtifactEntry& entry);
std::string ToJson(const PreparedEntry& entry);
std::string ToJson(const PublishedEntry& entry);
std::string ToJson(const AliasEntry& entry);
std::string IncarnationJson(uint64_t incarnation);

// DATA_LOSS/RECORD_CORRUPT for anything that ToJson does not make.
StatusOr<ArtifactEntry> ParseArtifactEntry(std::string_view json);
StatusOr<PreparedEntry> ParsePreparedEntry(std::string_view json);
StatusOr<PublishedEntry> ParsePublishedEntry(std::string_view json);
StatusOr<AliasEntry> ParseAliasEntry(std::string_view json);
StatusOr<uint64_t> ParseIncarnation(std::string_view json);

}  // namespace swage
