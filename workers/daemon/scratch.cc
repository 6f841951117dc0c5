#include "workers/daemon/scratch.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/log.h"

namespace swage {
namespace {

constexpr int64_t kKeepSeconds = 24 * 3600;

// Of the folder and what is directly in its work/ folder, where checkpoints are renamed into place.
int64_t LastTouched(const std::string& folder) {
  int64_t seconds = 0;
  for (const std::string& path : {folder, JoinPath(folder, "work")}) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0) seconds = std::max<int64_t>(seconds, info.st_mtime);
  }
  return seconds;
}

}  // namespace

void RemoveScratch(Env* env, const std::string& folder) {
  if (const Status status = env->RemoveTree(folder); !status.ok()) LogWarning("scratch: ", MessageOf(status));
}

void SweepScratch(Env* env, const std::string& scratch_dir, int64_t now_unix_nanos,
                  const std::set<std::string>& in_use) {
  const auto entries = env->ListDir(scratch_dir);
  if (!entries.ok()) return;
  for (const DirEntry& entry : *entries) {
    const std::string folder = JoinPath(scratch_dir, entry.name);
    const bool old = now_unix_nanos / 1000000000 - LastTouched(folder) > kKeepSeconds;
    if (entry.is_dir && old && in_use.count(entry.name) == 0) RemoveScratch(env, folder);
  }
}

}  // namespace swage
