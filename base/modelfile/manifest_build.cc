// From a folder to its manifest: one walk, every byte hashed once for its part and once for its file.
#include <algorithm>
#include <future>
#include <utility>

#include "base/limits.h"
#include "base/modelfile/json.h"
#include "base/modelfile/manifest.h"
#include "base/modelfile/safetensors.h"
#include "base/text.h"

namespace swage {
namespace {

constexpr size_t kReadBytes = 256 << 10;          // stays in the second-level cache between the read and the hash
constexpr uint64_t kWorthAThread = 4ull << 20;

Status Refuse(std::string_view reason, const std::string& path, std::string_view why, std::string_view next_step) {
  return InvalidInput(reason, Cat("'", path, "' ", why), next_step);
}

// Relative paths of all files under `dir`/`relative`.
Status ListFiles(Env* env, const std::string& dir, const std::string& relative, uint64_t depth,
                 std::vector<std::string>* out) {
  if (depth > limits::kFolderDepth) {
    return Refuse("TOO_MANY_FILES", relative, Cat("is nested deeper than ", limits::kFolderDepth, " folders"),
                  "give the folder of the model itself");
  }
  SWAGE_ASSIGN_OR_RETURN(const auto entries, env->ListDir(JoinPath(dir, relative)));
  for (const DirEntry& entry : entries) {
    const std::string path = JoinPath(relative, entry.name);
    SWAGE_RETURN_IF_ERROR(CheckRelativePath(path));
    if (!IsUtf8(path)) return Refuse("PATH_ESCAPES", path, "is not UTF-8", "rename the file");
    if (entry.is_symlink) {
      return Refuse("SYMLINK_REFUSED", path, "is a symbolic link", "copy the folder with cp -rL, then use the copy");
    }
    if (entry.is_dir) {
      SWAGE_RETURN_IF_ERROR(ListFiles(env, dir, path, depth + 1, out));
      continue;
    }
    if (EndsWith(entry.name, ".tmp")) {
      return Refuse("UNFINISHED_FILE", path, "is an unfinished write", "finish or remove it, then try again");
    }
    if (out->size() >= limits::kFilesPerArtifact) {
      return Refuse("TOO_MANY_FILES", path, Cat("comes after ", limits::kFilesPerArtifact, " other files"),
                    "give the folder of the model itself");
    }
    out->push_back(path);
  }
  return absl::OkStatus();
}

StatusOr<Digest> HashRange(const ReadableFile& file, uint64_t offset, uint64_t size,
                           const std::function<void(uint64_t)>& on_bytes) {
  Sha256 hash;
  std::string buffer(std::min<uint64_t>(size, kReadBytes), '\0');
  while (size > 0) {
    const size_t now = std::min<uint64_t>(size, buffer.size());
    SWAGE_RETURN_IF_ERROR(file.ReadAt(offset, now, buffer.data()));
    hash.Update(std::string_view(buffer).substr(0, now));
    offset += now;
    size -= now;
    if (on_bytes) on_bytes(now);
  }
  return hash.Finish();
}

Status HashParts(const ReadableFile& file, std::vector<FilePart>* parts, const std::function<void(uint64_t)>& on_bytes) {
  for (FilePart& part : *parts) {
    SWAGE_ASSIGN_OR_RETURN(part.object, HashRange(file, part.offset, part.size, on_bytes));
  }
  return absl::OkStatus();
}

StatusOr<ManifestFile> HashFile(Env* env, const std::string& dir, const std::string& path,
                                const std::function<void(uint64_t)>& on_bytes) {
  SWAGE_ASSIGN_OR_RETURN(const auto file, env->NewReadableFile(JoinPath(dir, path)));
  ManifestFile out{.path = path, .size = file->size()};
  SWAGE_ASSIGN_OR_RETURN(out.parts, SplitFile(path, *file));
  if (out.parts.size() < 2) {  // one part is the file, one hash is enough
    SWAGE_RETURN_IF_ERROR(HashParts(*file, &out.parts, on_bytes));
    out.sha256 = out.parts.empty() ? Sha256Of("") : out.parts.front().object;
    return out;
  }
  const auto policy = out.size >= kWorthAThread ? std::launch::async : std::launch::deferred;
  auto whole = std::async(policy, [&] { return HashRange(*file, 0, file->size(), nullptr); });
  const Status parts = HashParts(*file, &out.parts, on_bytes);
  SWAGE_ASSIGN_OR_RETURN(out.sha256, whole.get());
  SWAGE_RETURN_IF_ERROR(parts);
  return out;
}

}  // namespace

StatusOr<std::vector<FilePart>> SplitFile(const std::string& path, const ReadableFile& file) {
  std::vector<FilePart> parts;
  if (!EndsWith(path, ".safetensors")) {
    if (file.size() > 0) parts.push_back({.offset = 0, .size = file.size()});
    return parts;
  }
  std::string start(std::min<uint64_t>(8, file.size()), '\0');
  SWAGE_RETURN_IF_ERROR(file.ReadAt(0, start.size(), start.data()));
  const auto data_offset = SafetensorsDataOffset(start, file.size());
  if (!data_offset.ok()) return Annotate(data_offset.status(), path);
  start.resize(*data_offset);
  SWAGE_RETURN_IF_ERROR(file.ReadAt(0, start.size(), start.data()));
  const auto header = ParseSafetensorsHeader(start, file.size());
  if (!header.ok()) return Annotate(header.status(), path);
  parts.push_back({.offset = 0, .size = *data_offset});
  for (const TensorInfo& tensor : header->tensors) {
    if (tensor.bytes() == 0) continue;
    parts.push_back({.offset = *data_offset + tensor.begin,
                     .size = tensor.bytes(),
                     .tensor = tensor.name,
                     .dtype = std::string(DTypeName(tensor.dtype)),
                     .shape = tensor.shape});
  }
  return parts;
}

StatusOr<Manifest> BuildManifest(Env* env, const std::string& dir, const std::string& kind,
                                 const std::function<void(uint64_t)>& progress) {
  std::vector<std::string> paths;
  SWAGE_RETURN_IF_ERROR(ListFiles(env, dir, "", 0, &paths));
  if (paths.empty()) return Refuse("EMPTY_FOLDER", dir, "has no files", "check the path");
  std::sort(paths.begin(), paths.end());
  Manifest manifest;
  manifest.kind = kind;
  uint64_t done = 0;
  const auto on_bytes = [&](uint64_t bytes) {
    done += bytes;
    if (progress) progress(done);
  };
  for (const std::string& path : paths) {
    SWAGE_ASSIGN_OR_RETURN(ManifestFile file, HashFile(env, dir, path, on_bytes));
    manifest.files.push_back(std::move(file));
  }
  return manifest;
}

}  // namespace swage
