#include "workers/exports/model_folder.h"

#include <algorithm>
#include <array>

#include "base/limits.h"

namespace swage {
namespace {

constexpr uint64_t kPieceBytes = 16 << 20;  // of a mapped tensor resident at a time

// Calls take(begin, size) for all of `bytes`; of an empty tensor once.
template <typename Take>
Status InPieces(uint64_t bytes, Take take) {
  uint64_t begin = 0;
  do {
    const uint64_t size = std::min(kPieceBytes, bytes - begin);
    SWAGE_RETURN_IF_ERROR(take(begin, size));
    begin += size;
  } while (begin < bytes);
  return absl::OkStatus();
}

bool IsWeightFile(const std::string& name) {
  static constexpr std::array<std::string_view, 12> kEndings = {
      ".safetensors", ".safetensors.index.json",
      ".bin",         ".bin.index.json",
      ".pt",          ".pth",
      ".ckpt",        ".h5",
      ".msgpack",     ".gguf",
      ".onnx",        ".npz"};
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](std::string_view e) { return EndsWith(name, e); });
}

Status CopyFile(Env* env, const std::string& from, const std::string& to) {
  SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> in, env->NewReadableFile(from));
  SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> out, env->NewWritableFile(to));
  std::string chunk;
  for (uint64_t at = 0; at < in->size(); at += chunk.size()) {
    chunk.resize(std::min(limits::kChunkBytes, in->size() - at));
    SWAGE_RETURN_IF_ERROR(in->ReadAt(at, chunk.size(), chunk.data()));
    SWAGE_RETURN_IF_ERROR(out->Append(chunk));
  }
  SWAGE_RETURN_IF_ERROR(out->Sync());
  return out->Close();
}

}  // namespace

Status WriteModelFile(Env* env, const std::string& path, const TensorSource& source,
                      const std::vector<std::string>& names, const BytesDone& done) {
  std::vector<SafetensorsWriter::Declared> declared;
  for (const std::string& name : names) {
    std::optional<TensorView> view = source.Find(name);
    SWAGE_CHECK(view.has_value(), name);
    declared.push_back({name, view->info->dtype, view->info->shape});
  }
  std::sort(declared.begin(), declared.end(), [](const auto& a, const auto& b) {
    const uint64_t wide_a = DTypeBytes(a.dtype), wide_b = DTypeBytes(b.dtype);
    return wide_a != wide_b ? wide_a > wide_b : a.name < b.name;
  });
  SWAGE_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                         SafetensorsWriter::Create(env, path, declared, {{"format", "pt"}}));
  uint64_t bytes = 0;
  for (const auto& tensor : declared) {
    const TensorView view = *source.Find(tensor.name);
    SWAGE_RETURN_IF_ERROR(InPieces(view.bytes.size(), [&](uint64_t begin, uint64_t size) -> Status {
      SWAGE_RETURN_IF_ERROR(writer.AppendPiece(view.bytes.substr(begin, size)));
      source.ReadBehind(tensor.name, begin + size);
      bytes += size;
      return done ? done(bytes) : absl::OkStatus();
    }));
    source.DontNeed(tensor.name);
  }
  return writer.Finish();
}

Status VerifyModelFile(Env* env, const std::string& dir, const TensorSource& source,
                       const std::vector<std::string>& names, const BytesDone& done) {
  auto differs = [](const std::string& name, std::string_view how) {
    return DataLoss("READBACK_DIFFERS", Cat(name, ": ", how, " in the file that was just written"),
                    "check the disk and the memory of this machine, then run the job again");
  };
  SWAGE_ASSIGN_OR_RETURN(ModelFiles written, ModelFiles::Open(env, dir));
  if (written.Names().size() != names.size()) return differs(dir, "another number of tensors");
  uint64_t bytes = 0;
  for (const std::string& name : names) {
    const std::optional<TensorView> want = source.Find(name), have = written.Find(name);
    if (!have) return differs(name, "missing");
    if (have->info->dtype != want->info->dtype || have->info->shape != want->info->shape) {
      return differs(name, "another type or shape");
    }
    SWAGE_RETURN_IF_ERROR(InPieces(want->bytes.size(), [&](uint64_t begin, uint64_t size) -> Status {
      if (have->bytes.substr(begin, size) != want->bytes.substr(begin, size)) {
        return differs(name, "other bytes");
      }
      written.DontNeed(name, 0, begin + size);
      source.ReadBehind(name, begin + size);
      bytes += size;
      return done ? done(bytes) : absl::OkStatus();
    }));
    source.DontNeed(name);
  }
  return absl::OkStatus();
}

StatusOr<uint64_t> CopySideFiles(Env* env, const std::string& from, const std::string& to) {
  SWAGE_ASSIGN_OR_RETURN(std::vector<DirEntry> entries, env->ListDir(from));
  uint64_t bytes = 0;
  for (const DirEntry& entry : entries) {
    if (entry.is_dir || entry.name.front() == '.' || IsWeightFile(entry.name)) continue;
    if (entry.name == "config.json" || entry.name == "report.json" || EndsWith(entry.name, ".tmp"))
      continue;
    const std::string target = JoinPath(to, entry.name);
    Status copied = CopyFile(env, JoinPath(from, entry.name), target);
    if (ReasonOf(copied) == "NOT_A_FILE") continue;  // a socket, or a link to a folder
    SWAGE_RETURN_IF_ERROR(copied);
    SWAGE_ASSIGN_OR_RETURN(uint64_t size, env->FileSize(target));
    bytes += size;
  }
  return bytes;
}

}  // namespace swage
