#include "base/modelfile/gguf.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/limits.h"
#include "base/text.h"

namespace swage {
namespace {

enum ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
  kValueTypes
};

constexpr uint64_t kMostDimensions = 4;
constexpr uint64_t kMostAlignment = 1 << 20;
// The least bytes that one of them takes: bounds a count before anything is allocated.
constexpr uint64_t kLeastValueBytes[kValueTypes] = {1, 1, 2, 2, 4, 4, 4, 1, 4, 8, 8, 8, 8};

Status Bad(std::string_view reason, std::string_view what) {
  return InvalidInput(reason, Cat("the GGUF file: ", what),
                      "fetch the file again, and check that it is complete");
}

class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file) {}

  StatusOr<GgufFile> Run() {
    SWAGE_RETURN_IF_ERROR(ReadHeader());
    for (uint64_t i = 0; i < pairs_; ++i) SWAGE_RETURN_IF_ERROR(ReadPair());
    SWAGE_RETURN_IF_ERROR(ReadAlignment());
    for (uint64_t i = 0; i < tensors_; ++i) SWAGE_RETURN_IF_ERROR(ReadTensor());
    gguf_.data_offset = (at_ + gguf_.alignment - 1) / gguf_.alignment * gguf_.alignment;
    if (gguf_.tensors.empty())
      gguf_.data_offset = std::min<uint64_t>(gguf_.data_offset, file_.size());
    SWAGE_RETURN_IF_ERROR(CheckPlaces());
    return std::move(gguf_);
  }

 private:
  uint64_t left() const { return file_.size() - at_; }

  template <typename T>
  StatusOr<T> Read(std::string_view what) {
    if (left() < sizeof(T)) return Truncated(what);
    T value;
    std::memcpy(&value, file_.data() + at_, sizeof(T));  // little-endian, like every machine here
    at_ += sizeof(T);
    return value;
  }

  Status Truncated(std::string_view what) const {
    return Bad("GGUF_TRUNCATED", Cat("it ends at byte ", file_.size(), ", within ", what));
  }

  StatusOr<uint64_t> ReadLength(std::string_view what) {  // 32 bits in version 1
    if (gguf_.version > 1) return Read<uint64_t>(what);
    SWAGE_ASSIGN_OR_RETURN(const uint32_t length, Read<uint32_t>(what));
    return uint64_t{length};
  }

  StatusOr<std::string> ReadString(std::string_view what) {
    SWAGE_ASSIGN_OR_RETURN(const uint64_t length, ReadLength(what));
    if (length > left()) {
      return Bad("GGUF_TRUNCATED", Cat(what, " at byte ", at_, " has ", length, " bytes, but only ",
                                       left(), " are left"));
    }
    std::string text(file_.substr(at_, length));
    at_ += length;
    return text;
  }

  Status ReadHeader() {
    if (file_.substr(0, 4) != "GGUF") {
      return InvalidInput("NOT_GGUF", "the file does not begin with \"GGUF\"",
                          "give a GGUF file, or a folder with safetensors files");
    }
    at_ = 4;
    SWAGE_ASSIGN_OR_RETURN(gguf_.version, Read<uint32_t>("the header"));
    if (gguf_.version != 0 && (gguf_.version & 0xFFFF) == 0) {
      return InvalidInput("GGUF_BIG_ENDIAN", "the GGUF file is big-endian (made for s390x)",
                          "fetch or convert the little-endian file");
    }
    if (gguf_.version < 1 || gguf_.version > 3) {
      return InvalidInput("GGUF_VERSION", Cat("the GGUF file has version ", gguf_.version),
                          "versions 1 to 3 are read");
    }
    SWAGE_ASSIGN_OR_RETURN(tensors_, ReadLength("the header"));
    SWAGE_ASSIGN_OR_RETURN(pairs_, ReadLength("the header"));
    if (tensors_ > limits::kTensorsPerFile || pairs_ > limits::kGgufPairs) {
      return Bad("GGUF_FIELD",
                 Cat("it has ", tensors_, " tensors and ", pairs_, " metadata pairs; at most ",
                     limits::kTensorsPerFile, " and ", limits::kGgufPairs, " are read"));
    }
    return absl::OkStatus();
  }

  Status ReadPair() {
    SWAGE_ASSIGN_OR_RETURN(std::string key, ReadString("a metadata key"));
    if (key.empty() || key.size() > limits::kGgufKeyBytes)
      return Bad("GGUF_FIELD", Cat("a metadata key has ", key.size(), " bytes"));
    SWAGE_ASSIGN_OR_RETURN(const uint32_t type, Read<uint32_t>(key));
    SWAGE_ASSIGN_OR_RETURN(GgufValue value, ReadValue(type, key));
    const auto [at, is_new] = gguf_.metadata.try_emplace(std::move(key), std::move(value));
    if (!is_new) return Bad("GGUF_FIELD", Cat("the metadata key ", at->first, " is there twice"));
    return absl::OkStatus();
  }

  StatusOr<GgufValue> ReadValue(uint32_t type, const std::string& key) {
    if (type == kString) {
      SWAGE_ASSIGN_OR_RETURN(std::string text, ReadString(key));
      return GgufValue(std::move(text));
    }
    if (type == kArray) {
      SWAGE_ASSIGN_OR_RETURN(GgufArray array, ReadArray(key));
      return GgufValue(std::move(array));
    }
    if (type == kF32 || type == kF64) {
      SWAGE_ASSIGN_OR_RETURN(const double value, ReadFloat(type, key));
      return GgufValue(value);
    }
    SWAGE_ASSIGN_OR_RETURN(const int64_t value, ReadInteger(type, key));
    return type == kBool ? GgufValue(value != 0) : GgufValue(value);
  }

  template <typename T>
  StatusOr<int64_t> ReadAs(const std::string& key) {
    SWAGE_ASSIGN_OR_RETURN(const T value, Read<T>(key));
    if (static_cast<int64_t>(value) < 0 && !std::numeric_limits<T>::is_signed)
      return Bad("GGUF_FIELD", Cat(key, " is beyond 2^63"));
    return static_cast<int64_t>(value);
  }

  StatusOr<int64_t> ReadInteger(uint32_t type, const std::string& key) {
    switch (type) {
      case kU8:
        return ReadAs<uint8_t>(key);
      case kI8:
        return ReadAs<int8_t>(key);
      case kU16:
        return ReadAs<uint16_t>(key);
      case kI16:
        return ReadAs<int16_t>(key);
      case kU32:
        return ReadAs<uint32_t>(key);
      case kI32:
        return ReadAs<int32_t>(key);
      case kU64:
        return ReadAs<uint64_t>(key);
      case kI64:
        return ReadAs<int64_t>(key);
      case kBool: {
        SWAGE_ASSIGN_OR_RETURN(const uint8_t value, Read<uint8_t>(key));
        if (value > 1) return Bad("GGUF_FIELD", Cat(key, " is no boolean: ", int{value}));
        return int64_t{value};
      }
      default:
        return Bad("GGUF_FIELD", Cat(key, " has the unknown value type ", type));
    }
  }

  StatusOr<double> ReadFloat(uint32_t type, const std::string& key) {
    if (type == kF64) return Read<double>(key);
    SWAGE_ASSIGN_OR_RETURN(const float value, Read<float>(key));
    return static_cast<double>(value);
  }

  StatusOr<GgufArray> ReadArray(const std::string& key) {
    SWAGE_ASSIGN_OR_RETURN(const uint32_t type, Read<uint32_t>(key));
    SWAGE_ASSIGN_OR_RETURN(const uint64_t count, ReadLength(key));
    if (type >= kValueTypes || type == kArray)
      return Bad("GGUF_FIELD", Cat(key, " is an array of the value type ", type));
    if (count > left() / kLeastValueBytes[type]) {
      return Bad("GGUF_TRUNCATED",
                 Cat(key, " has ", count, " elements, but only ", left(), " bytes are left"));
    }
    GgufArray array;
    for (uint64_t i = 0; i < count; ++i) {
      if (type == kString) {
        SWAGE_ASSIGN_OR_RETURN(std::string text, ReadString(key));
        array.strings.push_back(std::move(text));
      } else if (type == kF32 || type == kF64) {
        SWAGE_ASSIGN_OR_RETURN(const double value, ReadFloat(type, key));
        array.floats.push_back(value);
      } else {
        SWAGE_ASSIGN_OR_RETURN(const int64_t value, ReadInteger(type, key));
        array.integers.push_back(value);
      }
    }
    return array;
  }

  Status ReadAlignment() {
    const auto found = gguf_.metadata.find("general.alignment");
    if (found == gguf_.metadata.end()) return absl::OkStatus();
    const int64_t* value = std::get_if<int64_t>(&found->second);
    const bool good = value != nullptr && *value >= 1 &&
                      static_cast<uint64_t>(*value) <= kMostAlignment &&
                      (*value & (*value - 1)) == 0;
    if (!good)
      return Bad("GGUF_FIELD", Cat("general.alignment is no power of two up to ", kMostAlignment));
    gguf_.alignment = static_cast<uint64_t>(*value);
    return absl::OkStatus();
  }

  Status ReadTensor() {
    GgufTensor tensor;
    SWAGE_ASSIGN_OR_RETURN(tensor.name, ReadString("a tensor's name"));
    if (tensor.name.empty() || tensor.name.size() > limits::kTensorNameBytes)
      return Bad("GGUF_TENSOR", Cat("a tensor's name has ", tensor.name.size(), " bytes"));
    SWAGE_ASSIGN_OR_RETURN(const uint32_t dimensions, Read<uint32_t>(tensor.name));
    if (dimensions > kMostDimensions)
      return Bad("GGUF_TENSOR", Cat("'", tensor.name, "' has ", dimensions, " dimensions"));
    uint64_t elements = 1;
    for (uint32_t d = 0; d < dimensions; ++d) {
      SWAGE_ASSIGN_OR_RETURN(const uint64_t n, ReadLength(tensor.name));
      constexpr uint64_t kMost = uint64_t{1} << 48;
      if (n == 0 || n > kMost || elements > kMost / n)
        return Bad("GGUF_TENSOR", Cat("'", tensor.name, "' has a dimension of ", n));
      elements *= n;
      tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(n));
    }
    SWAGE_ASSIGN_OR_RETURN(const uint32_t type, Read<uint32_t>(tensor.name));
    SWAGE_ASSIGN_OR_RETURN(tensor.begin, Read<uint64_t>(tensor.name));
    tensor.type = FindGgufType(type);
    if (tensor.type == nullptr) {
      return InvalidInput("GGUF_TYPE", Cat("'", tensor.name, "' has ggml's type ", type),
                          "docs/formats/gguf.md lists the types that are read");
    }
    const uint64_t row = tensor.shape.empty() ? 1 : static_cast<uint64_t>(tensor.shape.back());
    if (row % tensor.type->elements != 0) {
      return Bad("GGUF_TENSOR", Cat("'", tensor.name, "' has rows of ", row, ", but blocks of ",
                                    tensor.type->elements, " (", tensor.type->name, ")"));
    }
    const uint64_t bytes = elements / tensor.type->elements * tensor.type->bytes;
    if (tensor.begin % gguf_.alignment != 0 || tensor.begin > file_.size() ||
        bytes > file_.size() - tensor.begin) {
      return Bad("GGUF_TENSOR",
                 Cat("'", tensor.name, "' lies at ", tensor.begin, " with ", bytes,
                     " bytes: outside the file, or not aligned to ", gguf_.alignment));
    }
    tensor.end = tensor.begin + bytes;
    std::string name = tensor.name;
    const auto [at, is_new] = gguf_.tensors.try_emplace(std::move(name), std::move(tensor));
    if (!is_new) return Bad("GGUF_TENSOR", Cat("'", at->first, "' is there twice"));
    return absl::OkStatus();
  }

  // Inside the data section, none over another.
  Status CheckPlaces() const {
    if (gguf_.tensors.empty()) return absl::OkStatus();
    std::vector<const GgufTensor*> in_order;
    for (const auto& [name, tensor] : gguf_.tensors) in_order.push_back(&tensor);
    std::sort(in_order.begin(), in_order.end(),
              [](const GgufTensor* a, const GgufTensor* b) { return a->begin < b->begin; });
    for (size_t i = 0; i + 1 < in_order.size(); ++i) {
      if (in_order[i]->end > in_order[i + 1]->begin) {
        return Bad("GGUF_TENSOR", Cat("'", in_order[i]->name, "' and '", in_order[i + 1]->name,
                                      "' lie over each other"));
      }
    }
    for (const GgufTensor* tensor : in_order) {
      if (gguf_.data_offset <= file_.size() && tensor->end <= file_.size() - gguf_.data_offset)
        continue;
      return Bad("GGUF_TRUNCATED", Cat("'", tensor->name, "' ends at byte ",
                                       gguf_.data_offset + tensor->end, " of ", file_.size()));
    }
    return absl::OkStatus();
  }

  std::string_view file_;
  uint64_t at_ = 0;
  uint64_t tensors_ = 0, pairs_ = 0;
  GgufFile gguf_;
};

template <typename T>
const T* Value(const GgufFile& file, std::string_view key) {
  const auto found = file.metadata.find(key);
  return found == file.metadata.end() ? nullptr : std::get_if<T>(&found->second);
}

}  // namespace

int64_t GgufTensor::elements() const {
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

const GgufTensor* GgufFile::Find(std::string_view name) const {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : &found->second;
}

std::optional<int64_t> GgufFile::Integer(std::string_view key) const {
  if (const int64_t* value = Value<int64_t>(*this, key)) return *value;
  const double* value = Value<double>(*this, key);
  const bool whole = value != nullptr && std::abs(*value) < 1e15 && *value == std::floor(*value);
  return whole ? std::optional(static_cast<int64_t>(*value)) : std::nullopt;
}

std::optional<double> GgufFile::Float(std::string_view key) const {
  if (const double* value = Value<double>(*this, key)) return *value;
  const int64_t* value = Value<int64_t>(*this, key);
  return value != nullptr ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

std::optional<bool> GgufFile::Bool(std::string_view key) const {
  const bool* value = Value<bool>(*this, key);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

const std::string* GgufFile::String(std::string_view key) const {
  return Value<std::string>(*this, key);
}

const GgufArray* GgufFile::Array(std::string_view key) const {
  return Value<GgufArray>(*this, key);
}

StatusOr<GgufFile> ParseGguf(std::string_view file) { return Reader(file).Run(); }

StatusOr<std::optional<std::string>> FindGguf(Env* env, const std::string& path) {
  if (EndsWith(path, ".gguf")) return std::optional(path);
  if (env->Exists(JoinPath(path, "config.json"))) return std::optional<std::string>();
  const auto entries = env->ListDir(path);
  if (!entries.ok()) return std::optional<std::string>();  // the caller says what is wrong with it
  std::optional<std::string> found;
  for (const DirEntry& entry : *entries) {
    if (entry.is_dir || !EndsWith(entry.name, ".gguf")) continue;
    if (found) {
      return InvalidInput("GGUF_SEVERAL", Cat(path, " has several GGUF files and no config.json"),
                          "name the one to read");
    }
    found = JoinPath(path, entry.name);
  }
  return found;
}

}  // namespace swage
