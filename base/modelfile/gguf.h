// The GGUF container, versions 1 to 3 (ggml-org/ggml, docs/gguf.md): little-endian; metadata pairs,
// tensor infos, then the data, everything aligned to `general.alignment`. Every field of a file
// from outside is hostile until checked here: each length against the bytes that are left before
// anything is allocated, block sizes, offsets inside the file, alignment, no overlap, no duplicate.
// docs/formats/gguf.md has the rules.
//
//   SWAGE_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
//   SWAGE_ASSIGN_OR_RETURN(const GgufFile gguf, ParseGguf(file.bytes()));
//   const GgufTensor* tensor = gguf.Find("token_embd.weight");
//   std::string_view blocks = gguf.Bytes(*tensor, file.bytes());
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/env.h"
#include "base/modelfile/gguf_types.h"
#include "base/status.h"

namespace swage {

// An array's elements, all of one type; one of the three lists is used.
struct GgufArray {
  std::vector<int64_t> integers;  // also booleans; u64 beyond 2^63 is refused
  std::vector<double> floats;
  std::vector<std::string> strings;
  size_t size() const { return integers.size() + floats.size() + strings.size(); }
};
using GgufValue = std::variant<bool, int64_t, double, std::string, GgufArray>;

struct GgufTensor {
  std::string name;
  const GgufTypeRow* type = nullptr;
  std::vector<int64_t> shape;   // row-major: the reverse of the file's order, fastest last
  uint64_t begin = 0, end = 0;  // bytes from the start of the data section
  int64_t elements() const;
};

struct GgufFile {
  uint32_t version = 0;
  uint64_t alignment = 32;
  uint64_t data_offset = 0;  // of the data section in the file
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::map<std::string, GgufTensor, std::less<>> tensors;

  const GgufTensor* Find(std::string_view name) const;  // nullptr: none
  std::string_view Bytes(const GgufTensor& tensor, std::string_view file) const {
    return file.substr(data_offset + tensor.begin, tensor.end - tensor.begin);
  }
  // The value, when it is there and has that type; a number may stand as any number type.
  std::optional<int64_t> Integer(std::string_view key) const;
  std::optional<double> Float(std::string_view key) const;
  std::optional<bool> Bool(std::string_view key) const;
  const std::string* String(std::string_view key) const;
  const GgufArray* Array(std::string_view key) const;
};

// `file`: the whole file. Errors, all INVALID_ARGUMENT: NOT_GGUF, GGUF_BIG_ENDIAN, GGUF_VERSION,
// GGUF_TRUNCATED, GGUF_FIELD, GGUF_TYPE (an element type that is not known), GGUF_TENSOR.
StatusOr<GgufFile> ParseGguf(std::string_view file);

// `path` itself when it is a GGUF file, or the only one in the folder when that has no config.json;
// nullopt: read it as a folder of Hugging Face's. Errors: GGUF_SEVERAL.
StatusOr<std::optional<std::string>> FindGguf(Env* env, const std::string& path);

}  // namespace swage
