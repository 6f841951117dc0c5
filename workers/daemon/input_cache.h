// Staged inputs of jobs, by digest: a model's folder or a text. Downloaded once, verified, kept while there is room, the
// least recently used going first. What a job uses is pinned. Thread-safe.
//
//   <dir>/<digest>/        the content
//   <dir>/<digest>.ok      its size in bytes; written when the content is complete and synced; touched at each use
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/status.h"

namespace swage {

class InputCache {
 public:
  InputCache(Env* env, std::string dir, uint64_t max_bytes);

  // Pinned until the last copy is gone.
  using Pin = std::shared_ptr<const std::string>;  // path of the folder

  // `fetch(folder)` is called when it is not there; one at a time for each id, others wait. `wanted` is asked while waiting.
  StatusOr<Pin> Acquire(const std::string& id, const std::function<Status(const std::string& folder)>& fetch,
                        const std::function<bool()>& wanted);
  uint64_t bytes();
  std::vector<std::string> Models(size_t limit);  // complete ones, the last used first

 private:
  struct Entry {
    uint64_t bytes = 0;
    int pins = 0;
    int64_t used = 0;  // order of last use
    bool model = false;
  };
  Pin PinLocked(const std::string& id);
  void EvictLocked();
  void Load();

  Env* const env_;
  const std::string dir_;
  const uint64_t max_bytes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Entry> entries_;
  std::set<std::string> fetching_;
  int64_t uses_ = 0;
};

// Bytes of all files below `dir`; 0 when it is not there.
uint64_t TreeBytes(Env* env, const std::string& dir);

}  // namespace swage
