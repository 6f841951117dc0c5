#include "tests/unit/storage/memory_env.h"

#include <cerrno>
#include <functional>

#include "base/text.h"

namespace swage {
namespace {

Status PowerIsOut() { return Unavailable("POWER_IS_OUT", "simulated crash"); }
Status NoFile(const std::string& path) { return PosixError(ENOENT, path); }

bool IsBelow(const std::string& path, const std::string& dir) { return StartsWith(path, dir + "/"); }

}  // namespace

class MemoryWritable : public WritableFile {
 public:
  MemoryWritable(MemoryEnv* env, std::shared_ptr<MemoryEnv::Node> node) : env_(env), node_(std::move(node)) {}
  Status Append(std::string_view bytes) override {
    std::lock_guard lock(env_->mutex_);
    if (env_->crashed_) return PowerIsOut();
    if (env_->PowerGoesNow()) {
      node_->bytes.append(bytes.substr(0, bytes.size() / 2));
      return PowerIsOut();
    }
    if (env_->Used() + bytes.size() > env_->capacity_) return PosixError(ENOSPC, "append");
    node_->bytes.append(bytes);
    return absl::OkStatus();
  }
  Status Sync() override {
    std::lock_guard lock(env_->mutex_);
    SWAGE_RETURN_IF_ERROR(env_->Change());
    node_->synced = node_->bytes.size();
    return absl::OkStatus();
  }
  Status Close() override { return absl::OkStatus(); }

 private:
  MemoryEnv* env_;
  std::shared_ptr<MemoryEnv::Node> node_;
};

namespace {

class MemoryReadable : public ReadableFile {
 public:
  explicit MemoryReadable(std::string bytes) : bytes_(std::move(bytes)) {}
  Status ReadAt(uint64_t offset, size_t size, char* out) const override {
    if (offset > bytes_.size() || size > bytes_.size() - offset) {
      return Error(StatusCode::kOutOfRange, "FILE_TRUNCATED", "read beyond the end");
    }
    bytes_.copy(out, size, offset);
    return absl::OkStatus();
  }
  uint64_t size() const override { return bytes_.size(); }

 private:
  std::string bytes_;
};

class MemoryLock : public FileLock {
 public:
  explicit MemoryLock(std::function<void()> release) : release_(std::move(release)) {}
  ~MemoryLock() override { release_(); }

 private:
  std::function<void()> release_;
};

}  // namespace

bool MemoryEnv::PowerGoesNow() {
  ++changes_;
  if (crash_at_ >= 0 && changes_ >= crash_at_) crashed_ = true;
  return crashed_;
}

Status MemoryEnv::Change() {
  if (crashed_ || PowerGoesNow()) return PowerIsOut();
  return absl::OkStatus();
}

bool MemoryEnv::Step() {
  std::lock_guard lock(mutex_);
  return Change().ok();
}

uint64_t MemoryEnv::Used() const {
  uint64_t used = 0;
  for (const auto& [path, node] : live_.files) used += node->bytes.size();
  return used;
}

void MemoryEnv::Restart(Loss loss, Rng* rng) {
  std::lock_guard lock(mutex_);
  crashed_ = false;
  crash_at_ = -1;
  if (loss == Loss::kNothing) return;
  Tree after;
  if (loss == Loss::kUnsynced) {
    after = durable_;
  } else if (loss == Loss::kBytesOnly) {
    after = live_;
  } else {
    after.dirs = live_.dirs;
    for (const auto& [path, node] : live_.files) {
      if (rng->Uniform(2) == 0) after.files[path] = node;
    }
    for (const auto& [path, node] : durable_.files) {
      const auto live = live_.files.find(path);
      const bool unchanged = live != live_.files.end() && live->second == node;
      if (unchanged || (!after.files.contains(path) && rng->Uniform(2) == 0)) after.files[path] = node;
      // A name that was replaced or removed but not synced is either the old or the new: never neither, unless removed.
      if (live != live_.files.end() && !after.files.contains(path)) after.files[path] = node;
    }
  }
  const auto reachable = [&](std::string path) {
    for (path = DirName(path); path.size() > 1; path = DirName(path)) {
      if (!after.dirs.contains(path)) return false;
    }
    return true;
  };
  std::erase_if(after.files, [&](const auto& file) { return !reachable(file.first); });
  std::erase_if(after.dirs, [&](const auto& dir) { return !reachable(dir); });
  for (auto& [path, node] : after.files) {
    auto copy = std::make_shared<Node>(*node);
    const size_t unsynced = copy->bytes.size() - copy->synced;
    const size_t kept = loss == Loss::kAnything && unsynced > 0 ? rng->Uniform(unsynced + 1) : 0;
    copy->bytes.resize(copy->synced + kept);
    copy->synced = copy->bytes.size();
    node = copy;
  }
  live_ = after;
  durable_ = after;
}

void MemoryEnv::FlipBit(const std::string& path, uint64_t bit) {
  std::lock_guard lock(mutex_);
  live_.files.at(path)->bytes[bit / 8] ^= static_cast<char>(1u << (bit % 8));
}

std::map<std::string, uint64_t> MemoryEnv::Files() const {
  std::lock_guard lock(mutex_);
  std::map<std::string, uint64_t> files;
  for (const auto& [path, node] : live_.files) files[path] = node->bytes.size();
  return files;
}

StatusOr<std::unique_ptr<WritableFile>> MemoryEnv::NewWritableFile(const std::string& path) {
  std::lock_guard lock(mutex_);
  SWAGE_RETURN_IF_ERROR(Change());
  if (!live_.dirs.contains(DirName(path))) return NoFile(path);
  auto node = std::make_shared<Node>();
  live_.files[path] = node;
  return std::unique_ptr<WritableFile>(std::make_unique<MemoryWritable>(this, node));
}

StatusOr<std::unique_ptr<WritableFile>> MemoryEnv::NewAppendableFile(const std::string& path) {
  {
    std::lock_guard lock(mutex_);
    SWAGE_RETURN_IF_ERROR(Change());
    const auto found = live_.files.find(path);
    if (found != live_.files.end()) return std::unique_ptr<WritableFile>(std::make_unique<MemoryWritable>(this, found->second));
  }
  return NewWritableFile(path);
}

StatusOr<std::unique_ptr<ReadableFile>> MemoryEnv::NewReadableFile(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (crashed_) return PowerIsOut();
  const auto found = live_.files.find(path);
  if (found == live_.files.end()) return NoFile(path);
  return std::unique_ptr<ReadableFile>(std::make_unique<MemoryReadable>(found->second->bytes));
}

Status MemoryEnv::Rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  SWAGE_RETURN_IF_ERROR(Change());
  const auto found = live_.files.find(from);
  if (found == live_.files.end() || !live_.dirs.contains(DirName(to))) return NoFile(from);
  auto node = found->second;
  live_.files.erase(found);
  live_.files[to] = node;
  return absl::OkStatus();
}

Status MemoryEnv::Link(const std::string& existing, const std::string& link) {
  std::lock_guard lock(mutex_);
  SWAGE_RETURN_IF_ERROR(Change());
  const auto found = live_.files.find(existing);
  if (found == live_.files.end()) return NoFile(existing);
  if (!live_.files.emplace(link, found->second).second) return PosixError(EEXIST, link);
  return absl::OkStatus();
}

Status MemoryEnv::Remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  SWAGE_RETURN_IF_ERROR(Change());
  return live_.files.erase(path) == 1 ? absl::OkStatus() : NoFile(path);
}

Status MemoryEnv::RemoveTree(const std::string& path) {
  std::lock_guard lock(mutex_);
  SWAGE_RETURN_IF_ERROR(Change());
  std::erase_if(live_.files, [&](const auto& file) { return file.first == path || IsBelow(file.first, path); });
  std::erase_if(live_.dirs, [&](const auto& dir) { return dir == path || IsBelow(dir, path); });
  return absl::OkStatus();
}

Status MemoryEnv::CreateDirs(const std::string& path, int) {
  std::lock_guard lock(mutex_);
  if (live_.dirs.contains(path)) return crashed_ ? PowerIsOut() : absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(Change());
  for (std::string dir = path; dir.size() > 1; dir = DirName(dir)) {
    live_.dirs.insert(dir);
    if (DirName(dir) == "/") durable_.dirs.insert(dir);  // the disk itself
  }
  return absl::OkStatus();
}

Status MemoryEnv::SyncDir(const std::string& path) {
  std::lock_guard lock(mutex_);
  SWAGE_RETURN_IF_ERROR(Change());
  ++dir_syncs_;
  const auto inside = [&](const std::string& entry) { return DirName(entry) == path; };
  std::erase_if(durable_.files, [&](const auto& file) { return inside(file.first) && !live_.files.contains(file.first); });
  std::erase_if(durable_.dirs, [&](const auto& dir) { return inside(dir) && !live_.dirs.contains(dir); });
  for (const auto& [file, node] : live_.files) {
    if (inside(file)) durable_.files[file] = node;
  }
  for (const std::string& dir : live_.dirs) {
    if (inside(dir)) durable_.dirs.insert(dir);
  }
  return absl::OkStatus();
}

StatusOr<std::vector<DirEntry>> MemoryEnv::ListDir(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (crashed_) return PowerIsOut();
  if (!live_.dirs.contains(path)) return NoFile(path);
  std::map<std::string, DirEntry> entries;
  for (const std::string& dir : live_.dirs) {
    if (DirName(dir) == path) entries[BaseName(dir)] = {BaseName(dir), true, false, 0};
  }
  for (const auto& [file, node] : live_.files) {
    if (DirName(file) == path) entries[BaseName(file)] = {BaseName(file), false, false, node->bytes.size()};
  }
  std::vector<DirEntry> list;
  for (auto& [name, entry] : entries) list.push_back(entry);
  return list;
}

bool MemoryEnv::Exists(const std::string& path) {
  std::lock_guard lock(mutex_);
  return live_.files.contains(path) || live_.dirs.contains(path);
}

StatusOr<uint64_t> MemoryEnv::FileSize(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (crashed_) return PowerIsOut();
  const auto found = live_.files.find(path);
  if (found == live_.files.end()) return NoFile(path);
  return found->second->bytes.size();
}

StatusOr<uint64_t> MemoryEnv::FreeBytes(const std::string&) {
  std::lock_guard lock(mutex_);
  const uint64_t used = Used();
  return used < capacity_ ? capacity_ - used : 0;
}

StatusOr<std::unique_ptr<FileLock>> MemoryEnv::Lock(const std::string& path, bool) {
  std::lock_guard lock(mutex_);
  if (!locks_.insert(path).second) return Unavailable("LOCKED", Cat(path, " is locked"));
  return std::unique_ptr<FileLock>(std::make_unique<MemoryLock>([this, path] {
    std::lock_guard unlock(mutex_);
    locks_.erase(path);
  }));
}

}  // namespace swage
