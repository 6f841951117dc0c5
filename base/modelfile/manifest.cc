// The canonical text of a manifest, both ways. docs/formats/manifest.md is the specification.
#include "base/modelfile/manifest.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/limits.h"
#include "base/modelfile/json.h"
#include "base/modelfile/tensor_size.h"
#include "base/text.h"

namespace swage {
namespace {

constexpr uint64_t kVersion = 1;
constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());

Status MalformedManifest(std::string_view message) { return InvalidInput("MANIFEST_MALFORMED", Cat("manifest: ", message)); }

// The one place that knows the keys, by the depth at which their values stand.
class ManifestEvents : public JsonEvents {
 public:
  ManifestEvents() : JsonEvents(kShapeDepth) {}
  Manifest manifest;
  uint64_t version = 0;

 private:
  // {files: [ {parts: [ {shape: [ n ]} ]} ]} : members of the manifest stand at depth 1, of a file at 3, of a part at 5,
  // numbers of a shape at 6.
  static constexpr size_t kTopDepth = 1, kFileDepth = 3, kPartDepth = 5, kShapeDepth = 6;

  Status OnKey(size_t depth, std::string key) override {
    key_ = std::move(key);
    return absl::OkStatus();
  }

  Status OnOpen(size_t depth, bool is_array) override {
    const bool expected = is_array == (depth % 2 == 1);
    const bool known = depth == 0 || depth == kFileDepth - 1 || depth == kPartDepth - 1 ||
                       (depth == kTopDepth && key_ == "files") || (depth == kFileDepth && key_ == "parts") ||
                       (depth == kPartDepth && key_ == "shape");
    if (!expected || !known) return Unexpected(is_array ? "a list" : "an object");
    if (depth == kFileDepth - 1) {
      if (manifest.files.size() >= limits::kFilesPerArtifact) {
        return MalformedManifest(Cat("more than ", limits::kFilesPerArtifact, " files"));
      }
      manifest.files.emplace_back();
    } else if (depth == kPartDepth - 1) {
      if (manifest.files.back().parts.size() > limits::kTensorsPerFile) return MalformedManifest("too many parts in one file");
      manifest.files.back().parts.emplace_back();
    }
    return absl::OkStatus();
  }

  Status OnClose(size_t, bool) override { return absl::OkStatus(); }

  Status OnString(size_t depth, std::string value) override {
    if (depth == kTopDepth && key_ == "kind") return Set(&manifest.kind, std::move(value));
    if (depth == kFileDepth && key_ == "path") return Set(&manifest.files.back().path, std::move(value));
    if (depth == kFileDepth && key_ == "sha256") return Set(&manifest.files.back().sha256, value);
    if (depth == kPartDepth) {
      FilePart& part = manifest.files.back().parts.back();
      if (key_ == "object") return Set(&part.object, value);
      if (key_ == "tensor") return Set(&part.tensor, std::move(value));
      if (key_ == "dtype") return Set(&part.dtype, std::move(value));
    }
    return Unexpected("a text");
  }

  Status OnUnsigned(size_t depth, uint64_t value) override {
    if (value > kLargest) return MalformedManifest(Cat("the number ", value, " is beyond 2^63"));
    if (depth == kTopDepth && key_ == "version") version = value;
    else if (depth == kFileDepth && key_ == "size") manifest.files.back().size = value;
    else if (depth == kPartDepth && key_ == "offset") manifest.files.back().parts.back().offset = value;
    else if (depth == kPartDepth && key_ == "size") manifest.files.back().parts.back().size = value;
    else if (depth == kShapeDepth) return AddDimension(value);
    else return Unexpected("a number");
    return absl::OkStatus();
  }

  Status AddDimension(uint64_t value) {
    std::vector<int64_t>& shape = manifest.files.back().parts.back().shape;
    if (shape.size() >= limits::kTensorRank) return MalformedManifest("a shape has too many dimensions");
    shape.push_back(static_cast<int64_t>(value));
    return absl::OkStatus();
  }

  static Status Set(std::string* field, std::string value) {
    if (value.size() > limits::kTensorNameBytes) return MalformedManifest("a text is too long");
    *field = std::move(value);
    return absl::OkStatus();
  }
  static Status Set(Digest* field, const std::string& value) {
    SWAGE_ASSIGN_OR_RETURN(*field, Digest::FromHex(value));
    return absl::OkStatus();
  }

  Status Unexpected(std::string_view kind) override {
    return MalformedManifest(Cat(kind, " where the format has none, after the name '", key_.substr(0, 80), "'"));
  }

  std::string key_;
};

Status CheckPart(const FilePart& part) {
  if (part.size == 0) return MalformedManifest("a part of no bytes");
  if (part.tensor.empty()) {
    return part.dtype.empty() && part.shape.empty() ? absl::OkStatus() : MalformedManifest("dtype or shape without a tensor");
  }
  const auto dtype = DTypeFromName(part.dtype);
  if (!dtype) return MalformedManifest(Cat("tensor '", part.tensor, "' has the dtype '", part.dtype.substr(0, 40), "'"));
  const auto bytes = TensorBytes(*dtype, part.shape);
  if (bytes && *bytes == part.size) return absl::OkStatus();
  return MalformedManifest(Cat("tensor '", part.tensor, "' has a size that is not its shape's"));
}

Status CheckFile(const ManifestFile& file) {
  SWAGE_RETURN_IF_ERROR(Annotate(CheckRelativePath(file.path), "manifest"));
  uint64_t covered = 0;
  for (const FilePart& part : file.parts) {
    if (part.offset != covered) return MalformedManifest(Cat("the parts of '", file.path, "' have a gap or overlap"));
    SWAGE_RETURN_IF_ERROR(CheckPart(part));
    if (part.size > file.size - covered) return MalformedManifest(Cat("the parts of '", file.path, "' exceed its size"));
    covered += part.size;
  }
  if (covered != file.size) return MalformedManifest(Cat("the parts of '", file.path, "' do not cover it"));
  return absl::OkStatus();
}

Status CheckManifest(const Manifest& manifest) {
  const std::string& kind = manifest.kind;
  const bool word = std::all_of(kind.begin(), kind.end(), [](char c) { return c == '_' || (c >= 'a' && c <= 'z'); });
  if (!word || kind.empty() || kind.size() > 32) return MalformedManifest("the kind is not a word of a-z and _");
  uint64_t total = 0;
  std::vector<std::string_view> paths;
  for (const ManifestFile& file : manifest.files) {
    SWAGE_RETURN_IF_ERROR(CheckFile(file));
    if (!paths.empty() && paths.back() >= file.path) return MalformedManifest("the files are not ordered by path");
    // The files are ordered, so paths is too: is a folder of this path a file of the manifest?
    for (size_t slash = file.path.find('/'); slash != std::string::npos; slash = file.path.find('/', slash + 1)) {
      if (std::binary_search(paths.begin(), paths.end(), std::string_view(file.path).substr(0, slash))) {
        return MalformedManifest(Cat("'", file.path.substr(0, slash), "' is a file and a folder"));
      }
    }
    paths.push_back(file.path);
    if (file.size > kLargest - total) return MalformedManifest("the sizes add up beyond 2^63");
    total += file.size;
  }
  return absl::OkStatus();
}

void AppendPart(const FilePart& part, std::string* json) {
  *json += '{';
  if (!part.tensor.empty()) {
    *json += "\"dtype\":";
    AppendJsonString(part.dtype, json);
    *json += ',';
  }
  *json += Cat("\"object\":\"", part.object.Hex(), "\",\"offset\":", part.offset);
  if (!part.tensor.empty()) {
    *json += ",\"shape\":[";
    for (size_t i = 0; i < part.shape.size(); ++i) *json += Cat(i > 0 ? "," : "", part.shape[i]);
    *json += ']';
  }
  *json += Cat(",\"size\":", part.size);
  if (!part.tensor.empty()) {
    *json += ",\"tensor\":";
    AppendJsonString(part.tensor, json);
  }
  *json += '}';
}

}  // namespace

uint64_t Manifest::total_bytes() const {
  uint64_t total = 0;
  for (const ManifestFile& file : files) total += file.size;
  return total;
}

const ManifestFile* Manifest::Find(std::string_view path) const {
  const auto at = std::lower_bound(files.begin(), files.end(), path,
                                   [](const ManifestFile& file, std::string_view p) { return file.path < p; });
  return at != files.end() && at->path == path ? &*at : nullptr;
}

std::string Manifest::ToJson() const {
  std::string json = "{\"files\":[";
  for (const ManifestFile& file : files) {
    json += json.back() == '[' ? "{\"parts\":[" : ",{\"parts\":[";
    for (const FilePart& part : file.parts) {
      if (json.back() != '[') json += ',';
      AppendPart(part, &json);
    }
    json += "],\"path\":";
    AppendJsonString(file.path, &json);
    json += Cat(",\"sha256\":\"", file.sha256.Hex(), "\",\"size\":", file.size, "}");
  }
  json += "],\"kind\":";
  AppendJsonString(kind, &json);
  return json + Cat(",\"version\":", kVersion, "}");
}

Digest Manifest::Id() const { return Sha256Of(ToJson()); }

StatusOr<Manifest> ParseManifest(std::string_view json) {
  if (json.size() > limits::kManifestBytes) {
    return MalformedManifest(Cat(json.size(), " bytes; at most ", limits::kManifestBytes, " are read"));
  }
  ManifestEvents events;
  SWAGE_RETURN_IF_ERROR(events.Run(json, "MANIFEST_NOT_JSON", "the manifest"));
  if (events.version != kVersion) {
    return InvalidInput("MANIFEST_VERSION", Cat("a manifest of version ", events.version, "; known is ", kVersion),
                        "use a newer swage");
  }
  SWAGE_RETURN_IF_ERROR(CheckManifest(events.manifest));
  // One text for one folder: what is written otherwise (white space, order, a name twice, an unknown name with a value
  // that went unnoticed) would give the same artifact a second id.
  if (events.manifest.ToJson() != json) {
    return InvalidInput("MANIFEST_NOT_CANONICAL", "the manifest is not in canonical form",
                        "write it as docs/formats/manifest.md says");
  }
  return std::move(events.manifest);
}

}  // namespace swage
