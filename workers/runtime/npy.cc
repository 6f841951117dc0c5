#include "workers/runtime/npy.h"

namespace swage {

StatusOr<NpyWriter> NpyWriter::Create(Env* env, const std::string& path, int64_t rows,
                                      int64_t columns) {
  NpyWriter writer;
  writer.env_ = env;
  writer.path_ = path;
  writer.rows_ = rows;
  writer.columns_ = columns;
  SWAGE_ASSIGN_OR_RETURN(writer.file_, env->NewWritableFile(path + ".tmp"));
  std::string dict =
      Cat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", columns, "), }");
  const size_t fixed = 10;  // magic, version, length of the header
  dict.append(63 - (fixed + dict.size()) % 64, ' ');
  dict.push_back('\n');
  std::string head("\x93NUMPY\x01\x00", 8);
  head.push_back(static_cast<char>(dict.size() & 0xff));
  head.push_back(static_cast<char>(dict.size() >> 8));
  SWAGE_RETURN_IF_ERROR(writer.file_->Append(head + dict));
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

}  // namespace swage
