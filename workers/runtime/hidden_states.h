// Hidden states of many windows on their way from block to block: in memory, or in a file when they
// are too large for it. They are read by windows and replaced in their order, so that one block's
// outputs may take the place of its inputs while it runs.
//   SWAGE_ASSIGN_OR_RETURN(auto states, HiddenStates::Make(env, path, windows, values, most_bytes));
//   for (int64_t w = 0; w < windows; w += n) { states->Read(w, n, x); ...; states->Append(n, x); }
// For one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/env.h"
#include "workers/runtime/buffer.h"

namespace swage {

class HiddenStates {
 public:
  // `values` floats a window; more than `most_bytes` of all go to the files `path`.0 and `path`.1,
  // which are removed with this object.
  // Errors: MEMORY_LIMIT, OUT_OF_MEMORY.
  static StatusOr<std::unique_ptr<HiddenStates>> Make(Env* env, const std::string& path, int64_t windows,
                                                      int64_t values, int64_t most_bytes);
  HiddenStates(const HiddenStates&) = delete;
  HiddenStates& operator=(const HiddenStates&) = delete;
  ~HiddenStates();

  int64_t windows() const { return windows_; }
  bool in_file() const { return !path_.empty(); }
  // Windows [first, first + count) as the last complete round of Append left them.
  Status Read(int64_t first, int64_t count, float* x) const;
  // The next `count` windows of a new round, which is complete with the last window. In memory a
  // window is gone once its successor is appended.
  Status Append(int64_t count, const float* x);

 private:
  HiddenStates(Env* env, int64_t windows, int64_t values)
      : env_(env), windows_(windows), values_(values) {}
  std::string FileOf(int round) const { return Cat(path_, ".", round % 2); }

  Env* env_;
  int64_t windows_, values_, appended_ = 0;
  Buffer<float> memory_;
  std::string path_;  // empty: in memory
  int round_ = 0;
  std::unique_ptr<ReadableFile> file_;
  std::unique_ptr<WritableFile> next_;
};

}  // namespace swage
