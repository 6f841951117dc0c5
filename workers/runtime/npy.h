// Writes .npy files (NumPy's format 1.0): a matrix of f32, row by row, or a list of token ids.
#pragma once

#include <memory>
#include <string>
#include <vector>

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

// A vector of i32.
Status WriteNpyIds(Env* env, const std::string& path, const std::vector<int32_t>& ids);

}  // namespace swage
