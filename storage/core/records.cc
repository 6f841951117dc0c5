#include "storage/core/records.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "storage/core/paths.h"

namespace swage {
namespace {

using Json = nlohmann::json;

// Reads typed fields of an object; after the first failure everything is empty and ok() false.
class Fields {
 public:
  explicit Fields(std::string_view text) : json_(Json::parse(text, nullptr, false)) { ok_ = json_.is_object(); }
  std::string Text(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr || !value->is_string()) return Fail<std::string>();
    return value->get<std::string>();
  }
  uint64_t Uint(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr || !value->is_number_unsigned()) return Fail<uint64_t>();
    return value->get<uint64_t>();
  }
  template <typename T>
  T Decimal(const char* key) {  // a number in a string
    const std::string text = Text(key);
    T value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return Fail<T>();
    return value;
  }
  Digest Hex(const char* key) { return HexOf(Text(key)); }
  Digest HexOf(const std::string& text) {
    auto digest = Digest::FromHex(text);
    return digest.ok() ? *digest : Fail<Digest>();
  }
  std::map<uint32_t, Digest> Versions(const char* key) {
    std::map<uint32_t, Digest> versions;
    const Json* value = Find(key);
    if (value == nullptr || !value->is_object()) return Fail<std::map<uint32_t, Digest>>();
    for (const auto& [number, hex] : value->items()) {
      auto alias = ParseAlias(Cat("x@v", number));
      if (!alias.ok() || !hex.is_string()) return Fail<std::map<uint32_t, Digest>>();
      versions[*alias->version] = HexOf(hex.get<std::string>());
    }
    return versions;
  }
  std::string Tenant() {
    const std::string tenant = Text("tenant");
    if (!CheckTenantName(tenant).ok()) ok_ = false;
    return tenant;
  }
  std::string Job() {
    const std::string job = Text("job");
    if (!CheckJobName(job).ok()) ok_ = false;
    return job;
  }
  ResultToken Token() { return {Uint("incarnation"), Uint("epoch"), Decimal<uint64_t>("random")}; }
  template <typename T>
  StatusOr<T> Result(T value) const {
    if (ok_) return value;
    return DataLoss("RECORD_CORRUPT", "a record file is damaged", "move it away; what it named is lost unless it is uploaded again");
  }

 private:
  const Json* Find(const char* key) {
    if (!ok_) return nullptr;
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }
  template <typename T>
  T Fail() {
    ok_ = false;
    return T();
  }
  Json json_;
  bool ok_ = false;
};

}  // namespace

std::string ToJson(const ArtifactEntry& entry) {
  return Json{{"artifact", entry.artifact.Hex()}, {"create_unix_nanos", std::to_string(entry.create_unix_nanos)},
              {"job", entry.job}, {"tenant", entry.tenant}}.dump();
}

std::string ToJson(const PreparedEntry& entry) {
  return Json{{"artifact", entry.artifact.Hex()}, {"create_unix_millis", static_cast<uint64_t>(entry.create_unix_millis)},
              {"epoch", entry.token.epoch}, {"incarnation", entry.token.incarnation}, {"job", entry.job},
              {"random", std::to_string(entry.token.random)}, {"tenant", entry.tenant}}.dump();
}

std::string ToJson(const PublishedEntry& entry) {
  return Json{{"artifact", entry.artifact.Hex()}, {"epoch", entry.token.epoch}, {"incarnation", entry.token.incarnation},
              {"job", entry.job}, {"random", std::to_string(entry.token.random)}, {"tenant", entry.tenant}}.dump();
}

std::string ToJson(const AliasEntry& entry) {
  Json versions = Json::object();
  for (const auto& [version, digest] : entry.versions) versions[std::to_string(version)] = digest.Hex();
  return Json{{"name", entry.name}, {"next_version", entry.next_version}, {"tenant", entry.tenant}, {"versions", versions}}.dump();
}

std::string IncarnationJson(uint64_t incarnation) { return Json{{"incarnation", incarnation}}.dump(); }

StatusOr<ArtifactEntry> ParseArtifactEntry(std::string_view json) {
  Fields fields(json);
  ArtifactEntry entry;
  entry.tenant = fields.Tenant();
  entry.artifact = fields.Hex("artifact");
  entry.job = fields.Text("job");
  entry.create_unix_nanos = fields.Decimal<int64_t>("create_unix_nanos");
  return fields.Result(entry);
}

StatusOr<PreparedEntry> ParsePreparedEntry(std::string_view json) {
  Fields fields(json);
  PreparedEntry entry;
  entry.tenant = fields.Tenant();
  entry.job = fields.Job();
  entry.artifact = fields.Hex("artifact");
  entry.token = fields.Token();
  entry.create_unix_millis = static_cast<int64_t>(fields.Uint("create_unix_millis"));
  return fields.Result(entry);
}

StatusOr<PublishedEntry> ParsePublishedEntry(std::string_view json) {
  Fields fields(json);
  PublishedEntry entry;
  entry.tenant = fields.Tenant();
  entry.job = fields.Job();
  entry.artifact = fields.Hex("artifact");
  entry.token = fields.Token();
  return fields.Result(entry);
}

StatusOr<AliasEntry> ParseAliasEntry(std::string_view json) {
  Fields fields(json);
  AliasEntry entry;
  entry.tenant = fields.Tenant();
  entry.name = fields.Text("name");
  entry.next_version = static_cast<uint32_t>(fields.Uint("next_version"));
  entry.versions = fields.Versions("versions");
  if (!ParseAlias(AliasText(entry.name, 1)).ok()) return Fields("").Result(entry);
  return fields.Result(entry);
}

StatusOr<uint64_t> ParseIncarnation(std::string_view json) {
  Fields fields(json);
  const uint64_t incarnation = fields.Uint("incarnation");
  return fields.Result(incarnation);
}

}  // namespace swage
