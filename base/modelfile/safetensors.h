// The safetensors container (github.com/huggingface/safetensors, format of 2023): u64 little-endian length of a
// JSON header, the header, then the data. Every field of a file from outside is hostile until checked here: header
// length against the limit and the file, JSON, dtype, shape product against overflow, offsets inside the data,
// no overlap, no hole, no duplicate name. A parsed header satisfies all of these.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/modelfile/dtype.h"
#include "base/status.h"

namespace swage {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // row-major; rank 0 is a scalar
  uint64_t begin = 0, end = 0;  // bytes, relative to the start of the data section
  uint64_t bytes() const { return end - begin; }
  int64_t elements() const;
};

struct SafetensorsHeader {
  uint64_t data_offset = 0;              // 8 + header length: where the data section starts in the file
  std::vector<TensorInfo> tensors;       // ordered by begin
  std::map<std::string, std::string> metadata;
  std::vector<uint32_t> by_name;         // indices into `tensors`, ordered by name
  const TensorInfo* Find(std::string_view name) const;  // nullptr when there is none
};

// `prefix` are the file's first bytes (at least 8 + header length, else OUT_OF_RANGE/HEADER_TRUNCATED naming how
// many are needed); `file_size` is the whole file's. Errors: INVALID_ARGUMENT with reasons HEADER_TOO_LARGE,
// HEADER_TRUNCATED (it reaches beyond the file), HEADER_NOT_JSON, HEADER_MALFORMED (JSON of another form),
// TENSOR_OUT_OF_BOUNDS, TENSORS_OVERLAP, TENSORS_HAVE_HOLE, DUPLICATE_TENSOR, TOO_MANY_TENSORS, BAD_DTYPE, BAD_SHAPE,
// SIZE_MISMATCH. docs/formats/safetensors.md has the rules.
StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view prefix, uint64_t file_size);
// Length of the header plus 8, from the first 8 bytes; checked against the limit and `file_size`.
StatusOr<uint64_t> SafetensorsDataOffset(std::string_view first8, uint64_t file_size);

// One tensor of a mapped model: valid while its ModelFiles lives. The bytes may be unaligned: the length of a header
// from outside is arbitrary, so read elements with memcpy or unaligned loads.
struct TensorView {
  const TensorInfo* info = nullptr;
  std::string_view bytes;
};

// All tensors of a model folder, memory-mapped: model.safetensors, or model.safetensors.index.json with its shards.
// Errors: SHARD_MISSING, INDEX_MISMATCH (the index names a tensor its shard lacks, or lists too few), NO_WEIGHTS,
// PYTORCH_BIN (only a .bin is there: says how to convert). Thread-safe once open.
class ModelFiles {
 public:
  static StatusOr<ModelFiles> Open(Env* env, const std::string& dir);
  std::optional<TensorView> Find(std::string_view name) const;
  std::vector<std::string> Names() const;  // sorted
  uint64_t total_bytes() const;
  const std::vector<std::string>& files() const { return file_names_; }  // relative
  // Tells the kernel that bytes [begin, begin + size) of a tensor will soon be read, or are no longer needed.
  void WillNeed(std::string_view name, uint64_t begin = 0, uint64_t size = UINT64_MAX) const;
  void DontNeed(std::string_view name, uint64_t begin = 0, uint64_t size = UINT64_MAX) const;

 private:
  Status AddShard(const std::string& path, const std::string& name,
                  const std::map<std::string, std::string>& shard_of);

  struct Shard {
    MappedFile file;
    SafetensorsHeader header;
  };
  std::vector<Shard> shards_;
  std::vector<std::string> file_names_;
  std::map<std::string, std::pair<size_t, size_t>, std::less<>> where_;  // name -> (shard, index in header)
};

// Parses model.safetensors.index.json: tensor name -> file name (checked to be a plain name in the same folder).
StatusOr<std::map<std::string, std::string>> ParseShardIndex(std::string_view json);

// Writes one safetensors file. Tensors are declared first (order kept as declared), then appended in that order.
// Header is padded with spaces to a multiple of 8. Writes "<path>.tmp"; Finish syncs it and renames it into place;
// a writer destroyed before that removes it. For one thread.
class SafetensorsWriter {
 public:
  struct Declared {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
  };
  static StatusOr<SafetensorsWriter> Create(Env* env, const std::string& path, const std::vector<Declared>& tensors,
                                            const std::map<std::string, std::string>& metadata);
  Status Append(std::string_view tensor_bytes);  // one whole tensor; the size must match the declaration
  Status AppendPiece(std::string_view bytes);    // of the next tensor, which is complete at its declared size
  Status Finish();
  ~SafetensorsWriter();
  SafetensorsWriter(SafetensorsWriter&&) noexcept;

 private:
  struct State;
  explicit SafetensorsWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace swage
