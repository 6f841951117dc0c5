// A file system in memory that can lose power: what was not synced is dropped, torn or kept, as asked. Directory entries
// (new names, renames, removals, new folders) are durable once their folder is synced; bytes once their file is.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/env.h"
#include "base/rng.h"

namespace swage {

class MemoryEnv : public Env {
 public:
  enum class Loss {
    kNothing,     // the process died, the machine did not
    kUnsynced,    // everything that was not synced is gone
    kBytesOnly,   // names survived, unsynced bytes did not
    kAnything,    // each name and each unsynced byte run: a coin
  };

  // The n-th change from now (1 = the next) and all that follows fail, until Restart.
  void CrashAt(int64_t n) { std::lock_guard lock(mutex_); crash_at_ = changes_ + n; }
  bool crashed() const { std::lock_guard lock(mutex_); return crashed_; }
  int64_t changes() const { std::lock_guard lock(mutex_); return changes_; }
  void Restart(Loss loss, Rng* rng);
  // Counts as a change; false when crashed. For things that are not files, such as a commit of the index.
  bool Step();
  // Appends beyond this many bytes in all fail with ENOSPC; FreeBytes tells.
  void SetCapacity(uint64_t bytes) { std::lock_guard lock(mutex_); capacity_ = bytes; }
  void FlipBit(const std::string& path, uint64_t bit);
  std::map<std::string, uint64_t> Files() const;  // path, size
  int64_t dir_syncs() const { std::lock_guard lock(mutex_); return dir_syncs_; }

  StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(const std::string& path) override;
  StatusOr<std::unique_ptr<WritableFile>> NewAppendableFile(const std::string& path) override;
  StatusOr<std::unique_ptr<ReadableFile>> NewReadableFile(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Link(const std::string& existing, const std::string& link) override;
  Status Remove(const std::string& path) override;
  Status RemoveTree(const std::string& path) override;
  Status CreateDirs(const std::string& path, int mode) override;
  Status SyncDir(const std::string& path) override;
  StatusOr<std::vector<DirEntry>> ListDir(const std::string& path) override;
  bool Exists(const std::string& path) override;
  StatusOr<uint64_t> FileSize(const std::string& path) override;
  StatusOr<uint64_t> FreeBytes(const std::string& path) override;
  StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path, bool wait) override;

 private:
  friend class MemoryWritable;
  struct Node {
    std::string bytes;
    size_t synced = 0;
  };
  struct Tree {
    std::map<std::string, std::shared_ptr<Node>> files;
    std::set<std::string> dirs;
  };
  Status Change();  // counts; an error when the power is gone
  bool PowerGoesNow();
  uint64_t Used() const;

  mutable std::mutex mutex_;
  Tree live_, durable_;
  std::set<std::string> locks_;
  int64_t changes_ = 0, crash_at_ = -1, dir_syncs_ = 0;
  bool crashed_ = false;
  uint64_t capacity_ = 1ull << 40;
};

}  // namespace swage
