// Statistics as a file: docs/formats/statistics.md.
#include <cstring>
#include <map>

#include <nlohmann/json.hpp>

#include "base/env.h"
#include "base/modelfile/json.h"
#include "base/modelfile/safetensors.h"
#include "workers/runtime/statistics_pass.h"

namespace swage {
namespace {

using nlohmann::json;

constexpr char kIndex[] = "swage.statistics", kKey[] = "swage.statistics.key";

Status Malformed(const std::string& what) {
  return InvalidInput("STATISTICS_MALFORMED", what, "delete the file; it is made again");
}

struct Columns {
  const char* name;
  std::vector<double> ColumnStatistics::*values;
};
constexpr Columns kSums[] = {{"power1", &ColumnStatistics::power1},
                             {"power2", &ColumnStatistics::power2},
                             {"power3", &ColumnStatistics::power3},
                             {"power4", &ColumnStatistics::power4}};

struct Piece {
  SafetensorsWriter::Declared declared;
  std::string_view bytes;
};

template <typename T>
std::string_view BytesOf(const T* values, size_t count) {
  return {reinterpret_cast<const char*>(values), count * sizeof(T)};
}

void AddColumns(const std::string& name, const ColumnStatistics& columns, std::vector<Piece>* pieces) {
  const int64_t n = columns.columns();
  for (const Columns& sum : kSums) {
    const auto& values = columns.*sum.values;
    pieces->push_back({{Cat(name, ".", sum.name), DType::kF64, {n}}, BytesOf(values.data(), values.size())});
  }
  pieces->push_back({{Cat(name, ".min"), DType::kF32, {n}}, BytesOf(columns.min.data(), columns.min.size())});
  pieces->push_back({{Cat(name, ".max"), DType::kF32, {n}}, BytesOf(columns.max.data(), columns.max.size())});
}

std::string InputName(int64_t layer, size_t input) { return Cat("blocks.", layer, ".inputs.", input); }

struct StatisticsFile {
  MappedFile file;
  SafetensorsHeader header;
  std::optional<TensorView> Find(const std::string& name) const {
    const TensorInfo* info = header.Find(name);
    if (info == nullptr) return std::nullopt;
    return TensorView{info, file.bytes().substr(header.data_offset + info->begin, info->bytes())};
  }
};

// The values of one tensor of the expected type and number.
template <typename T>
Status Read(const StatisticsFile& file, const std::string& name, DType type, int64_t count, T* out) {
  const auto view = file.Find(name);
  if (!view || view->info->dtype != type || view->info->elements() != count)
    return Malformed(Cat("tensor ", name, " is missing or of another shape"));
  std::memcpy(out, view->bytes.data(), static_cast<size_t>(count) * sizeof(T));
  return absl::OkStatus();
}

StatusOr<ColumnStatistics> ReadColumns(const StatisticsFile& file, const std::string& name, int64_t n,
                                       int64_t rows) {
  ColumnStatistics columns(n);
  columns.rows = rows;
  for (const Columns& sum : kSums) {
    SWAGE_RETURN_IF_ERROR(
        Read(file, Cat(name, ".", sum.name), DType::kF64, n, (columns.*sum.values).data()));
  }
  SWAGE_RETURN_IF_ERROR(Read(file, Cat(name, ".min"), DType::kF32, n, columns.min.data()));
  SWAGE_RETURN_IF_ERROR(Read(file, Cat(name, ".max"), DType::kF32, n, columns.max.data()));
  return columns;
}

// The index as it was written; every access is checked, the file may be anything.
class Index {
 public:
  static StatusOr<Index> Parse(const std::string& text) {
    SWAGE_ASSIGN_OR_RETURN(json tree, ParseJsonTree(text, "STATISTICS_MALFORMED", "the index"));
    if (!tree.is_array()) return Malformed("the index is no list of blocks");
    return Index(std::move(tree));
  }
  const json& blocks() const { return tree_; }
  static StatusOr<int64_t> Count(const json& object, const char* name, int64_t most) {
    const auto it = object.is_object() ? object.find(name) : object.end();
    const bool good = object.is_object() && it != object.end() && it->is_number_unsigned() &&
                      it->get<uint64_t>() <= static_cast<uint64_t>(most);
    if (!good) return Malformed(Cat("the index lacks a sensible ", name));
    return it->get<int64_t>();
  }
  static StatusOr<std::vector<std::string>> Names(const json& object, const char* name) {
    const auto it = object.is_object() ? object.find(name) : object.end();
    if (!object.is_object() || it == object.end() || !it->is_array()) return Malformed(Cat("the index lacks ", name));
    std::vector<std::string> names;
    for (const json& one : *it) {
      if (!one.is_string()) return Malformed(Cat(name, " holds something that is no name"));
      names.push_back(one.get<std::string>());
    }
    return names;
  }

 private:
  explicit Index(json tree) : tree_(std::move(tree)) {}
  json tree_;
};

constexpr int64_t kMostColumns = int64_t{1} << 24, kMostRows = int64_t{1} << 48;

StatusOr<BlockStatistics> ReadBlock(const StatisticsFile& file, const json& entry) {
  BlockStatistics block;
  SWAGE_ASSIGN_OR_RETURN(block.layer, Index::Count(entry, "layer", 1 << 20));
  SWAGE_ASSIGN_OR_RETURN(block.unseen, Index::Names(entry, "unseen"));
  SWAGE_ASSIGN_OR_RETURN(const int64_t channels, Index::Count(entry, "kv_channels", kMostColumns));
  SWAGE_ASSIGN_OR_RETURN(const int64_t kv_rows, Index::Count(entry, "kv_rows", kMostRows));
  SWAGE_ASSIGN_OR_RETURN(block.keys, ReadColumns(file, Cat("blocks.", block.layer, ".keys"), channels, kv_rows));
  SWAGE_ASSIGN_OR_RETURN(block.values, ReadColumns(file, Cat("blocks.", block.layer, ".values"), channels, kv_rows));
  const auto inputs = entry.find("inputs");
  if (inputs == entry.end() || !inputs->is_array()) return Malformed("the index lacks inputs");
  for (size_t i = 0; i < inputs->size(); ++i) {
    const json& given = (*inputs)[i];
    InputStatistics input;
    SWAGE_ASSIGN_OR_RETURN(input.readers, Index::Names(given, "readers"));
    SWAGE_ASSIGN_OR_RETURN(input.width, Index::Count(given, "width", kMostColumns));
    SWAGE_ASSIGN_OR_RETURN(const int64_t rows, Index::Count(given, "rows", kMostRows));
    const std::string name = InputName(block.layer, i);
    SWAGE_ASSIGN_OR_RETURN(input.columns, ReadColumns(file, name, input.width, rows));
    if (const std::string hessian = Cat(name, ".hessian"); file.Find(hessian).has_value()) {
      const auto view = *file.Find(hessian);
      if (view.info->elements() != input.width * input.width) return Malformed(Cat(hessian, " is of another shape"));
      input.hessian.Resize(input.width * input.width);
      SWAGE_RETURN_IF_ERROR(Read(file, hessian, DType::kF32, input.hessian.size(), input.hessian.data()));
    }
    block.inputs.push_back(std::move(input));
  }
  return block;
}

}  // namespace

Status WriteStatistics(Env* env, const std::string& path, const Digest& key,
                       const std::vector<BlockStatistics>& blocks) {
  std::vector<Piece> pieces;
  json index = json::array();
  for (const BlockStatistics& block : blocks) {
    json inputs = json::array();
    for (size_t i = 0; i < block.inputs.size(); ++i) {
      const InputStatistics& input = block.inputs[i];
      const std::string name = InputName(block.layer, i);
      AddColumns(name, input.columns, &pieces);
      if (input.hessian.size() > 0) {
        pieces.push_back({{Cat(name, ".hessian"), DType::kF32, {input.width, input.width}},
                          BytesOf(input.hessian.data(), static_cast<size_t>(input.hessian.size()))});
      }
      inputs.push_back({{"readers", input.readers}, {"width", input.width}, {"rows", input.columns.rows}});
    }
    AddColumns(Cat("blocks.", block.layer, ".keys"), block.keys, &pieces);
    AddColumns(Cat("blocks.", block.layer, ".values"), block.values, &pieces);
    index.push_back({{"layer", block.layer}, {"inputs", std::move(inputs)}, {"unseen", block.unseen},
                     {"kv_channels", block.keys.columns()}, {"kv_rows", block.keys.rows}});
  }
  std::vector<SafetensorsWriter::Declared> declared;
  for (const Piece& piece : pieces) declared.push_back(piece.declared);
  SWAGE_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                         SafetensorsWriter::Create(env, path, declared,
                                                   {{kIndex, index.dump()}, {kKey, key.Hex()}}));
  for (const Piece& piece : pieces) SWAGE_RETURN_IF_ERROR(writer.Append(piece.bytes));
  return writer.Finish();
}

StatusOr<std::vector<BlockStatistics>> ReadStatistics(const std::string& path, const Digest& key) {
  SWAGE_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::Open(path));
  auto header = ParseSafetensorsHeader(mapped.bytes(), mapped.bytes().size());
  if (!header.ok()) return Annotate(header.status(), path);
  StatisticsFile file{std::move(mapped), std::move(header).value()};
  std::map<std::string, std::string>& metadata = file.header.metadata;
  if (metadata[kKey] != key.Hex()) {
    return Precondition("STATISTICS_MISMATCH", Cat(path, " holds statistics of something else"),
                        "gather them again");
  }
  SWAGE_ASSIGN_OR_RETURN(const Index index, Index::Parse(metadata[kIndex]));
  std::vector<BlockStatistics> blocks;
  for (const json& entry : index.blocks()) {
    SWAGE_ASSIGN_OR_RETURN(BlockStatistics block, ReadBlock(file, entry));
    blocks.push_back(std::move(block));
  }
  return blocks;
}

}  // namespace swage
