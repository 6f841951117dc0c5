#include "workers/runtime/gguf_model.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "kernels/numeric/gguf_blocks.h"
#include "workers/runtime/buffer.h"
#include "workers/runtime/gguf_config.h"

namespace swage {
namespace {

std::optional<DType> PlainType(GgufType type) {
  switch (type) {
    case GgufType::kF32:
      return DType::kF32;
    case GgufType::kF16:
      return DType::kF16;
    case GgufType::kBF16:
      return DType::kBF16;
    default:
      return std::nullopt;
  }
}

class GgufTensors : public TensorSource {
 public:
  GgufTensors(MappedFile file, GgufFile gguf) : file_(std::move(file)), gguf_(std::move(gguf)) {}

  Status Index() {
    for (const auto& [name, tensor] : gguf_.tensors) {
      if (name == "rope_freqs.weight") continue;  // is in the configuration
      const std::optional<std::string> known = NameOfGguf(name);
      if (!known) {
        return InvalidInput("GGUF_TENSOR",
                            Cat("the GGUF file has a tensor ", name,
                                ", which this "
                                "architecture does not have"),
                            "use the model's Hugging Face folder");
      }
      Entry entry;
      entry.tensor = &tensor;
      entry.heads = PermutedHeads(gguf_, name);
      if (entry.heads > 0 && (tensor.shape.empty() || tensor.shape[0] % (2 * entry.heads) != 0))
        return InvalidInput("TENSOR_SHAPE", Cat(name, " has not ", entry.heads, " heads of rows"));
      const std::optional<DType> plain = PlainType(tensor.type->type);
      if (!plain && !DecodesGguf(tensor.type->type)) {
        return InvalidInput("GGUF_TYPE", Cat(name, " holds integers (", tensor.type->name, ")"),
                            "weights are read from floating and quantized types");
      }
      entry.info.name = *known;
      entry.info.dtype = plain.value_or(DType::kF32);
      entry.info.shape = tensor.shape;
      entry.info.end = static_cast<uint64_t>(tensor.elements()) * DTypeBytes(entry.info.dtype);
      entries_.emplace(*known, std::move(entry));
    }
    return absl::OkStatus();
  }

  std::optional<TensorView> Find(std::string_view name) const override {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return std::nullopt;
    const Entry& entry = found->second;
    const std::string_view stored = gguf_.Bytes(*entry.tensor, file_.bytes());
    if (entry.heads == 0 && PlainType(entry.tensor->type->type))
      return TensorView{&entry.info, stored};
    const std::lock_guard<std::mutex> lock(mutex_);
    Buffer<char>& decoded = decoded_[entry.info.name];
    if (decoded.size() == 0) Decode(entry, stored, &decoded);
    return TensorView{&entry.info, {decoded.data(), static_cast<size_t>(decoded.size())}};
  }

  const TensorInfo* Info(std::string_view name) const override {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second.info;
  }

  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
  }

  void DontNeed(std::string_view name) const override {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return;
    const GgufTensor& tensor = *found->second.tensor;
    file_.DontNeed(gguf_.data_offset + tensor.begin, tensor.end - tensor.begin);
    const std::lock_guard<std::mutex> lock(mutex_);
    decoded_.erase(found->first);
  }

  void WillNeed(std::string_view name, uint64_t begin, uint64_t size) const override {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return;
    // Positions in a decoded tensor are at the same share of the stored one.
    const Entry& entry = found->second;
    const uint64_t stored = entry.tensor->end - entry.tensor->begin, whole = entry.info.bytes();
    if (begin >= whole) return;
    const double share = static_cast<double>(stored) / static_cast<double>(whole);
    const auto at = static_cast<uint64_t>(static_cast<double>(begin) * share);
    const auto wanted = static_cast<uint64_t>(static_cast<double>(std::min(size, whole - begin)) * share) + 1;
    file_.WillNeed(gguf_.data_offset + entry.tensor->begin + at, std::min(wanted, stored - at));
  }

 private:
  struct Entry {
    const GgufTensor* tensor = nullptr;
    int64_t heads = 0;  // whose rows are to be put back
    TensorInfo info;
  };

  void Decode(const Entry& entry, std::string_view stored, Buffer<char>* out) const {
    const GgufTypeRow& type = *entry.tensor->type;
    out->Resize(static_cast<int64_t>(entry.info.bytes()));
    const int64_t rows = entry.tensor->shape.empty() ? 1 : entry.tensor->shape[0];
    const size_t row_out = entry.info.bytes() / static_cast<size_t>(rows),
                 row_in = stored.size() / static_cast<size_t>(rows);
    const int64_t half = entry.heads == 0 ? 0 : rows / entry.heads / 2;
    for (int64_t r = 0; r < rows; ++r) {
      int64_t from = r;
      if (half > 0) from = r / (2 * half) * (2 * half) + r % half * 2 + r / half % 2;
      const char* in = stored.data() + static_cast<size_t>(from) * row_in;
      char* to = out->data() + static_cast<size_t>(r) * row_out;
      if (PlainType(type.type)) {
        std::memcpy(to, in, row_out);
      } else {
        DecodeGguf(type.type, in, static_cast<int64_t>(row_out / sizeof(float)),
                   reinterpret_cast<float*>(to));
      }
    }
  }

  MappedFile file_;
  GgufFile gguf_;
  std::map<std::string, Entry, std::less<>> entries_;  // by Hugging Face's name
  mutable std::mutex mutex_;
  mutable std::map<std::string, Buffer<char>, std::less<>> decoded_;
};

}  // namespace

StatusOr<GgufModel> OpenGguf(const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  auto gguf = ParseGguf(file.bytes());
  if (!gguf.ok()) return Annotate(gguf.status(), path);
  GgufModel model;
  SWAGE_ASSIGN_OR_RETURN(model.config_json, ConfigOfGguf(*gguf, file.bytes()));
  auto tensors = std::make_shared<GgufTensors>(std::move(file), *std::move(gguf));
  SWAGE_RETURN_IF_ERROR(tensors->Index());
  model.tensors = std::move(tensors);
  return model;
}

}  // namespace swage
