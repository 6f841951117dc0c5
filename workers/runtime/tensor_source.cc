#include "workers/runtime/tensor_source.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>

#include "workers/runtime/buffer.h"

namespace swage {
namespace {

constexpr int64_t kStagedElements = 1 << 20;
constexpr int64_t kOnceElements = 4 << 20;  // of a mapped tensor resident at a time

class FolderTensors : public TensorSource {
 public:
  explicit FolderTensors(ModelFiles files) : files_(std::move(files)) {}
  std::optional<TensorView> Find(std::string_view name) const override { return files_.Find(name); }
  std::vector<std::string> Names() const override { return files_.Names(); }
  void DontNeed(std::string_view name) const override { files_.DontNeed(name); }
  void WillNeed(std::string_view name, uint64_t begin, uint64_t size) const override {
    files_.WillNeed(name, begin, size);
  }
  void ReadBehind(std::string_view name, uint64_t size) const override {
    files_.DontNeed(name, 0, size);
  }

 private:
  ModelFiles files_;
};

class FileTensors : public TensorSource {
 public:
  FileTensors(MappedFile file, SafetensorsHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}
  std::optional<TensorView> Find(std::string_view name) const override {
    const TensorInfo* info = header_.Find(name);
    if (info == nullptr) return std::nullopt;
    return TensorView{info, file_.bytes().substr(header_.data_offset + info->begin, info->bytes())};
  }
  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (uint32_t index : header_.by_name) names.push_back(header_.tensors[index].name);
    return names;
  }
  void DontNeed(std::string_view name) const override {
    if (const TensorInfo* info = header_.Find(name)) {
      file_.DontNeed(header_.data_offset + info->begin, info->bytes());
    }
  }
  void WillNeed(std::string_view name, uint64_t begin, uint64_t size) const override {
    const TensorInfo* info = header_.Find(name);
    if (info == nullptr || begin >= info->bytes()) return;
    file_.WillNeed(header_.data_offset + info->begin + begin, std::min(size, info->bytes() - begin));
  }
  void ReadBehind(std::string_view name, uint64_t size) const override {
    if (const TensorInfo* info = header_.Find(name)) {
      file_.DontNeed(header_.data_offset + info->begin, std::min(size, info->bytes()));
    }
  }

 private:
  MappedFile file_;
  SafetensorsHeader header_;
};

class OverlayTensors : public TensorSource {
 public:
  explicit OverlayTensors(std::vector<std::shared_ptr<TensorSource>> sources)
      : sources_(std::move(sources)) {}
  std::optional<TensorView> Find(std::string_view name) const override {
    for (const auto& source : sources_) {
      if (auto found = source->Find(name)) return found;
    }
    return std::nullopt;
  }
  const TensorInfo* Info(std::string_view name) const override {
    for (const auto& source : sources_) {
      if (const TensorInfo* info = source->Info(name)) return info;
    }
    return nullptr;
  }
  std::vector<std::string> Names() const override {
    std::set<std::string> names;
    for (const auto& source : sources_) {
      for (std::string& name : source->Names()) names.insert(std::move(name));
    }
    return {names.begin(), names.end()};
  }
  void DontNeed(std::string_view name) const override {
    for (const auto& source : sources_) source->DontNeed(name);
  }
  void WillNeed(std::string_view name, uint64_t begin, uint64_t size) const override {
    if (const TensorSource* source = Owner(name)) source->WillNeed(name, begin, size);
  }
  void ReadBehind(std::string_view name, uint64_t size) const override {
    if (const TensorSource* source = Owner(name)) source->ReadBehind(name, size);
  }

 private:
  const TensorSource* Owner(std::string_view name) const {
    for (const auto& source : sources_) {
      if (source->Info(name) != nullptr) return source.get();
    }
    return nullptr;
  }

  std::vector<std::shared_ptr<TensorSource>> sources_;
};

}  // namespace

StatusOr<std::shared_ptr<TensorSource>> OpenFolderTensors(Env* env, const std::string& dir) {
  SWAGE_ASSIGN_OR_RETURN(ModelFiles files, ModelFiles::Open(env, dir));
  return std::shared_ptr<TensorSource>(std::make_shared<FolderTensors>(std::move(files)));
}

StatusOr<std::shared_ptr<TensorSource>> OpenFileTensors(const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  auto header = ParseSafetensorsHeader(file.bytes(), file.bytes().size());
  if (!header.ok()) return Annotate(header.status(), path);
  return std::shared_ptr<TensorSource>(
      std::make_shared<FileTensors>(std::move(file), std::move(header).value()));
}

std::shared_ptr<TensorSource> Overlay(std::vector<std::shared_ptr<TensorSource>> sources) {
  return std::make_shared<OverlayTensors>(std::move(sources));
}

StatusOr<TensorView> FindTensor(const TensorSource& source, const std::string& name,
                                const std::vector<int64_t>& shape) {
  std::optional<TensorView> found = source.Find(name);
  if (!found)
    return NotFound("TENSOR_MISSING", Cat("there is no tensor ", name),
                    "upload the complete model");
  if (found->info->shape != shape) {
    return InvalidInput("TENSOR_SHAPE",
                        Cat(name, " is ", ShapeText(found->info->shape),
                            ", the configuration implies ", ShapeText(shape)),
                        "check that config.json belongs to these weights");
  }
  return *found;
}

Status ReadF32(Ops* ops, const TensorView& tensor, int64_t begin, int64_t count, float* out) {
  const DType type = tensor.info->dtype;
  if (!IsFloating(type)) {
    return InvalidInput("TENSOR_DTYPE",
                        Cat(tensor.info->name, " is ", DTypeName(type), ", not F32, F16 or BF16"));
  }
  SWAGE_CHECK(begin >= 0 && count >= 0 && begin + count <= tensor.info->elements(),
              tensor.info->name);
  const size_t width = DTypeBytes(type);
  const char* from = tensor.bytes.data() + begin * width;
  if (reinterpret_cast<uintptr_t>(from) % width == 0) return ops->CastToF32(count, from, type, out);
  Buffer<char> staged(std::min(count, kStagedElements) * static_cast<int64_t>(width));
  for (int64_t done = 0; done < count; done += kStagedElements) {
    const int64_t now = std::min(kStagedElements, count - done);
    std::memcpy(staged.data(), from + done * width, now * width);
    SWAGE_RETURN_IF_ERROR(ops->CastToF32(now, staged.data(), type, out + done));
  }
  return absl::OkStatus();
}

bool PrefetchWanted() {
  const char* value = std::getenv("SWAGE_PREFETCH");
  return value == nullptr || std::string_view(value) != "0";
}

Status ReadF32Once(Ops* ops, const TensorSource& source, const TensorView& tensor, int64_t begin,
                   int64_t count, float* out) {
  const uint64_t width = DTypeBytes(tensor.info->dtype);
  for (int64_t done = 0; done < count; done += kOnceElements) {
    const int64_t now = std::min(kOnceElements, count - done);
    SWAGE_RETURN_IF_ERROR(ReadF32(ops, tensor, begin + done, now, out + done));
    source.ReadBehind(tensor.info->name, static_cast<uint64_t>(begin + done + now) * width);
  }
  return absl::OkStatus();
}

bool IsFloating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::vector<std::string> parts;
  for (int64_t d : shape) parts.push_back(Cat(d));
  return Cat("[", Join(parts, ", "), "]");
}

}  // namespace swage
