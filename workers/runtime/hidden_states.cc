#include "workers/runtime/hidden_states.h"

#include <cstring>

namespace swage {

StatusOr<std::unique_ptr<HiddenStates>> HiddenStates::Make(Env* env, const std::string& path,
                                                           int64_t windows, int64_t values,
                                                           int64_t most_bytes) {
  SWAGE_CHECK(windows > 0 && values > 0, "no hidden states: ", windows, " x ", values);
  std::unique_ptr<HiddenStates> states(new HiddenStates(env, windows, values));
  if (windows * values * static_cast<int64_t>(sizeof(float)) > most_bytes) {
    states->path_ = path;
  } else {
    SWAGE_ASSIGN_OR_RETURN(states->memory_, Buffer<float>::Allocate(windows * values));
  }
  return states;
}

HiddenStates::~HiddenStates() {
  if (path_.empty()) return;
  file_.reset();
  next_.reset();
  for (int round = 0; round < 2; ++round) {
    if (env_->Exists(FileOf(round))) (void)env_->Remove(FileOf(round));  // scratch, swept anyway
  }
}

Status HiddenStates::Read(int64_t first, int64_t count, float* x) const {
  SWAGE_CHECK(first >= 0 && count >= 0 && first + count <= windows_, "windows ", first, " + ", count);
  const size_t bytes = static_cast<size_t>(count * values_) * sizeof(float);
  if (!in_file()) {
    std::memcpy(x, memory_.data() + first * values_, bytes);
    return absl::OkStatus();
  }
  SWAGE_CHECK(file_ != nullptr, "hidden states were read before they were written");
  return file_->ReadAt(static_cast<uint64_t>(first * values_) * sizeof(float), bytes,
                       reinterpret_cast<char*>(x));
}

Status HiddenStates::Append(int64_t count, const float* x) {
  SWAGE_CHECK(count >= 0 && appended_ + count <= windows_, "window ", appended_, " + ", count);
  const size_t bytes = static_cast<size_t>(count * values_) * sizeof(float);
  if (in_file()) {
    if (appended_ == 0) {
      SWAGE_ASSIGN_OR_RETURN(next_, env_->NewWritableFile(FileOf(round_ + 1)));
    }
    SWAGE_RETURN_IF_ERROR(next_->Append({reinterpret_cast<const char*>(x), bytes}));
  } else {
    std::memcpy(memory_.data() + appended_ * values_, x, bytes);
  }
  appended_ += count;
  if (appended_ < windows_) return absl::OkStatus();
  appended_ = 0;
  if (!in_file()) return absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(next_->Close());
  next_.reset();
  ++round_;
  SWAGE_ASSIGN_OR_RETURN(file_, env_->NewReadableFile(FileOf(round_)));
  return absl::OkStatus();
}

}  // namespace swage
