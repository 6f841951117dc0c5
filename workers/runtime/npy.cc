#include "workers/runtime/npy.h"

namespace swage {
namespace {

// Magic, version and header of an array of 4-byte elements.
std::string NpyHead(std::string_view descr, const std::string& shape) {
  std::string dict =
      Cat("{'descr': '", descr, "', 'fortran_order': False, 'shape': (", shape, "), }");
  const size_t fixed = 10;  // magic, version, length of the header
  dict.append(63 - (fixed + dict.size()) % 64, ' ');
  dict.push_back('\n');
  std::string head("\x93NUMPY\x01\x00", 8);
  head.push_back(static_cast<char>(dict.size() & 0xff));
  head.push_back(static_cast<char>(dict.size() >> 8));
  return head + dict;
}

}  // namespace

StatusOr<NpyWriter> NpyWriter::Create(Env* env, const std::string& path, int64_t rows,
                                      int64_t columns) {
  NpyWriter writer;
  writer.env_ = env;
  writer.path_ = path;
  writer.rows_ = rows;
  writer.columns_ = columns;
  SWAGE_ASSIGN_OR_RETURN(writer.file_, env->NewWritableFile(path + ".tmp"));
  SWAGE_RETURN_IF_ERROR(writer.file_->Append(NpyHead("<f4", Cat(rows, ", ", columns))));
  return writer;
}

Status NpyWriter::Append(const float* values, int64_t rows) {
  written_ += rows;
  return file_->Append(
      {reinterpret_cast<const char*>(values), static_cast<size_t>(rows * columns_) * 4});
}

Status NpyWriter::Finish() {
  SWAGE_CHECK(written_ == rows_, "rows of ", path_, ": ", written_, " instead of ", rows_);
  SWAGE_RETURN_IF_ERROR(file_->Sync());
  SWAGE_RETURN_IF_ERROR(file_->Close());
  return env_->Rename(path_ + ".tmp", path_);
}

Status WriteNpyIds(Env* env, const std::string& path, const std::vector<int32_t>& ids) {
  std::string bytes = NpyHead("<i4", Cat(ids.size(), ","));
  bytes.append(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t));
  return WriteFileAtomic(env, path, bytes);
}

}  // namespace swage
