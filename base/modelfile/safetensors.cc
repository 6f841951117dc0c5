#include "base/modelfile/safetensors.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/limits.h"
#include "base/modelfile/json.h"
#include "base/modelfile/tensor_size.h"
#include "base/text.h"

namespace swage {
namespace {

constexpr char kFetchAgain[] = "fetch the file again, or write it again with the safetensors library";

Status MalformedHeader(std::string_view message) { return InvalidInput("HEADER_MALFORMED", message, kFetchAgain); }

// Builds the tensors as the JSON streams by: no tree of a 100 MB header is ever in memory.
class HeaderEvents : public JsonEvents {
 public:
  explicit HeaderEvents(SafetensorsHeader* header) : JsonEvents(3), header_(*header) {}

 private:
  enum class Field { kNone, kDType, kShape, kOffsets };
  enum Seen { kSawDType = 1, kSawShape = 2, kSawOffsets = 4, kSawAll = 7 };

  Status OnKey(size_t depth, std::string key) override {
    if (depth == 1) return StartEntry(key);
    if (in_metadata_) {
      metadata_key_ = std::move(key);
      if (!header_.metadata.contains(metadata_key_)) return absl::OkStatus();
      return MalformedHeader(Cat("__metadata__ has the name '", metadata_key_.substr(0, 80), "' twice"));
    }
    field_ = key == "dtype" ? Field::kDType : key == "shape" ? Field::kShape
             : key == "data_offsets" ? Field::kOffsets : Field::kNone;
    const int bit = field_ == Field::kDType ? kSawDType : field_ == Field::kShape ? kSawShape : kSawOffsets;
    if (field_ == Field::kNone) return MalformedHeader(Cat(Entry(), " has the unknown field '", key.substr(0, 80), "'"));
    if (seen_ & bit) return MalformedHeader(Cat(Entry(), " has the field '", key, "' twice"));
    seen_ |= bit;
    return absl::OkStatus();
  }

  Status StartEntry(const std::string& name) {
    in_metadata_ = name == "__metadata__";
    if (in_metadata_) {
      if (std::exchange(saw_metadata_, true)) return MalformedHeader("__metadata__ is there twice");
      return absl::OkStatus();
    }
    if (header_.tensors.size() >= limits::kTensorsPerFile) {
      return InvalidInput("TOO_MANY_TENSORS", Cat("more than ", limits::kTensorsPerFile, " tensors in one file"),
                          "split the model into shards");
    }
    const bool printable = std::none_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    if (name.empty() || name.size() > limits::kTensorNameBytes || !printable) {
      return MalformedHeader(Cat("a tensor's name is empty, has control characters, or more than ", limits::kTensorNameBytes,
                           " bytes"));
    }
    tensor_ = TensorInfo{.name = name};
    offsets_.clear();
    seen_ = 0;
    return absl::OkStatus();
  }

  Status OnOpen(size_t depth, bool is_array) override {
    const bool expected = depth < 2 ? !is_array
                                    : is_array && !in_metadata_ && (field_ == Field::kShape || field_ == Field::kOffsets);
    return expected ? absl::OkStatus() : Unexpected(is_array ? "a list" : "an object");
  }

  Status OnClose(size_t depth, bool) override {
    return depth == 1 && !in_metadata_ ? FinishTensor() : absl::OkStatus();
  }

  Status OnString(size_t depth, std::string value) override {
    if (depth == 2 && in_metadata_) {
      header_.metadata.emplace(std::move(metadata_key_), std::move(value));
      return absl::OkStatus();
    }
    if (depth != 2 || field_ != Field::kDType) return Unexpected("a string");
    const auto dtype = DTypeFromName(value);
    if (!dtype) {
      return InvalidInput("BAD_DTYPE", Cat(Entry(), " has the dtype '", value.substr(0, 40), "'"),
                          "known are BOOL, U8, I8, F8_E4M3, F8_E5M2, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64");
    }
    tensor_.dtype = *dtype;
    return absl::OkStatus();
  }

  Status OnUnsigned(size_t depth, uint64_t value) override {
    if (depth != 3) return Unexpected("a number");
    if (field_ == Field::kShape) {
      if (tensor_.shape.size() >= limits::kTensorRank) {
        return InvalidInput("BAD_SHAPE", Cat(Entry(), " has more than ", limits::kTensorRank, " dimensions"));
      }
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return InvalidInput("BAD_SHAPE", Cat(Entry(), " has the dimension ", value));
      }
      tensor_.shape.push_back(static_cast<int64_t>(value));
    } else if (offsets_.size() < 2) {
      offsets_.push_back(value);
    } else {
      return MalformedHeader(Cat(Entry(), " has more than two data_offsets"));
    }
    return absl::OkStatus();
  }

  Status Unexpected(std::string_view kind) override {
    if (!in_metadata_ && field_ == Field::kShape) {
      return InvalidInput("BAD_SHAPE", Cat(Entry(), " has ", kind, " in its shape"), kFetchAgain);
    }
    return MalformedHeader(Cat(tensor_.name.empty() ? std::string("the header") : Entry(), " has ", kind,
                         " where the format has none"));
  }

  Status FinishTensor() {
    field_ = Field::kNone;
    if (seen_ != kSawAll || offsets_.size() != 2) {
      return MalformedHeader(Cat(Entry(), " needs dtype, shape and two data_offsets"));
    }
    tensor_.begin = offsets_[0];
    tensor_.end = offsets_[1];
    const auto bytes = TensorBytes(tensor_.dtype, tensor_.shape);
    if (!bytes) return InvalidInput("BAD_SHAPE", Cat(Entry(), ": its dimensions multiply beyond 2^63 bytes"), kFetchAgain);
    if (tensor_.begin > tensor_.end) {
      return InvalidInput("TENSOR_OUT_OF_BOUNDS", Cat(Entry(), " ends before it begins"), kFetchAgain);
    }
    if (tensor_.end - tensor_.begin != *bytes) {
      return InvalidInput("SIZE_MISMATCH", Cat(Entry(), ": its shape and dtype need ", *bytes,
                                               " bytes, its data_offsets give ", tensor_.end - tensor_.begin),
                          kFetchAgain);
    }
    header_.tensors.push_back(std::move(tensor_));
    return absl::OkStatus();
  }

  std::string Entry() const { return Cat("tensor '", tensor_.name.substr(0, 200), "'"); }

  SafetensorsHeader& header_;
  TensorInfo tensor_;
  std::vector<uint64_t> offsets_;
  std::string metadata_key_;
  Field field_ = Field::kNone;
  int seen_ = 0;
  bool in_metadata_ = false, saw_metadata_ = false;
};

Status CheckNamesUnique(const std::vector<TensorInfo>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return absl::OkStatus();
  return InvalidInput("DUPLICATE_TENSOR", Cat("tensor '", twice->substr(0, 200), "' is there twice"), kFetchAgain);
}

// `tensors` are ordered by begin. Together they must cover [0, data_size) exactly.
Status CheckCover(const std::vector<TensorInfo>& tensors, uint64_t data_size) {
  uint64_t covered = 0;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.end > data_size) {
      return InvalidInput("TENSOR_OUT_OF_BOUNDS", Cat("tensor '", tensor.name.substr(0, 200), "' ends at byte ",
                                                      tensor.end, " of the data; there are ", data_size),
                          "the file is cut: fetch it again");
    }
    if (tensor.begin < covered) {
      return InvalidInput("TENSORS_OVERLAP", Cat("tensor '", tensor.name.substr(0, 200), "' begins at byte ",
                                                 tensor.begin, ", before the tensor in front of it ends"),
                          kFetchAgain);
    }
    if (tensor.begin > covered) {
      return InvalidInput("TENSORS_HAVE_HOLE", Cat("bytes ", covered, " to ", tensor.begin, " of the data, before '",
                                                   tensor.name.substr(0, 200), "', belong to no tensor"),
                          kFetchAgain);
    }
    covered = tensor.end;
  }
  if (covered == data_size) return absl::OkStatus();
  return InvalidInput("TENSORS_HAVE_HOLE", Cat("the last ", data_size - covered, " bytes of the data belong to no tensor"),
                      kFetchAgain);
}

}  // namespace

std::optional<uint64_t> TensorBytes(DType dtype, const std::vector<int64_t>& shape) {
  // Zero dimensions count as one: what fits in one order of multiplication must fit in every other.
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  uint64_t product = DTypeBytes(dtype);
  bool empty = false;
  for (const int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    empty |= dimension == 0;
    const auto factor = static_cast<uint64_t>(std::max<int64_t>(dimension, 1));
    if (product > kMost / factor) return std::nullopt;
    product *= factor;
  }
  return empty ? 0 : product;
}

int64_t TensorInfo::elements() const {
  int64_t product = 1;
  for (const int64_t dimension : shape) product *= std::max<int64_t>(dimension, 1);
  return std::find(shape.begin(), shape.end(), 0) == shape.end() ? product : 0;
}

const TensorInfo* SafetensorsHeader::Find(std::string_view name) const {
  const auto at = std::lower_bound(by_name.begin(), by_name.end(), name,
                                   [&](uint32_t i, std::string_view n) { return tensors[i].name < n; });
  return at != by_name.end() && tensors[*at].name == name ? &tensors[*at] : nullptr;
}

StatusOr<uint64_t> SafetensorsDataOffset(std::string_view first8, uint64_t file_size) {
  if (first8.size() < 8) {
    if (file_size < 8) {
      return InvalidInput("HEADER_TRUNCATED", Cat("a safetensors file has at least 8 bytes, this one ", file_size),
                          kFetchAgain);
    }
    return Error(StatusCode::kOutOfRange, "HEADER_TRUNCATED", "the first 8 bytes are needed");
  }
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<uint8_t>(first8[static_cast<size_t>(i)]);
  if (length > limits::kSafetensorsHeaderBytes) {
    return InvalidInput("HEADER_TOO_LARGE", Cat("the header claims ", length, " bytes; at most ",
                                                limits::kSafetensorsHeaderBytes, " are accepted"),
                        "check that this is a safetensors file");
  }
  if (file_size < 8 || length > file_size - 8) {
    return InvalidInput("HEADER_TRUNCATED", Cat("the header claims ", length, " bytes, the whole file has ", file_size),
                        kFetchAgain);
  }
  return 8 + length;
}

StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view prefix, uint64_t file_size) {
  SWAGE_ASSIGN_OR_RETURN(const uint64_t data_offset, SafetensorsDataOffset(prefix.substr(0, 8), file_size));
  if (prefix.size() < data_offset) {
    return Error(StatusCode::kOutOfRange, "HEADER_TRUNCATED",
                 Cat("the first ", data_offset, " bytes are needed, ", prefix.size(), " are here"));
  }
  const std::string_view json = prefix.substr(8, data_offset - 8);
  if (json.empty() || json.front() != '{') {
    return InvalidInput("HEADER_NOT_JSON", "the header does not begin with '{'", "check that this is a safetensors file");
  }
  SafetensorsHeader header;
  header.data_offset = data_offset;
  HeaderEvents events(&header);
  SWAGE_RETURN_IF_ERROR(events.Run(json, "HEADER_NOT_JSON", "the safetensors header"));
  SWAGE_RETURN_IF_ERROR(CheckNamesUnique(header.tensors));
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  SWAGE_RETURN_IF_ERROR(CheckCover(header.tensors, file_size - data_offset));
  header.by_name.resize(header.tensors.size());
  for (uint32_t i = 0; i < header.by_name.size(); ++i) header.by_name[i] = i;
  std::sort(header.by_name.begin(), header.by_name.end(),
            [&](uint32_t a, uint32_t b) { return header.tensors[a].name < header.tensors[b].name; });
  return header;
}

}  // namespace swage
