// Writes a matrix of f32 as a .npy file (NumPy's format 1.0), row by row.
#pragma once

#include <memory>
#include <string>

#include "base/env.h"

namespace swage {

class NpyWriter {
 public:
  // Writes to `path`.tmp until Finish.
  static StatusOr<NpyWriter> Create(Env* env, const std::string& path, int64_t rows,
                                    int64_t columns);
  Status Append(const float* values, int64_t rows);
  Status Finish();  // syncs and renames; all rows must have been appended

 private:
  Env* env_ = nullptr;
  std::string path_;
  int64_t rows_ = 0, columns_ = 0, written_ = 0;
  std::unique_ptr<WritableFile> file_;
};

}  // namespace swage
