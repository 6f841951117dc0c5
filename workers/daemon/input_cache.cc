#include "workers/daemon/input_cache.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/log.h"

namespace swage {
namespace {

constexpr std::string_view kMark = ".ok";

int64_t ModifiedAt(const std::string& path) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(path, error);
  return error ? 0 : time.time_since_epoch().count();
}

bool IsModel(Env* env, const std::string& folder) { return env->Exists(JoinPath(folder, "config.json")); }

}  // namespace

uint64_t TreeBytes(Env* env, const std::string& dir) {
  const auto entries = env->ListDir(dir);
  if (!entries.ok()) return 0;
  uint64_t bytes = 0;
  for (const DirEntry& entry : *entries) {
    if (entry.is_symlink) continue;
    bytes += entry.is_dir ? TreeBytes(env, JoinPath(dir, entry.name)) : entry.size;
  }
  return bytes;
}

InputCache::InputCache(Env* env, std::string dir, uint64_t max_bytes)
    : env_(env), dir_(std::move(dir)), max_bytes_(max_bytes) {
  Load();
}

// What an earlier daemon left: complete entries are taken over, half ones stay (a download goes on with them).
void InputCache::Load() {
  const auto found = env_->ListDir(dir_);
  if (!found.ok()) return;
  std::vector<std::pair<int64_t, std::string>> by_age;
  for (const DirEntry& entry : *found) {
    if (!EndsWith(entry.name, kMark)) continue;
    const std::string id = entry.name.substr(0, entry.name.size() - kMark.size());
    if (Digest::FromHex(id).ok()) by_age.emplace_back(ModifiedAt(JoinPath(dir_, entry.name)), id);
  }
  std::sort(by_age.begin(), by_age.end());
  for (const auto& [age, id] : by_age) {
    entries_[id] = {TreeBytes(env_, JoinPath(dir_, id)), 0, ++uses_, IsModel(env_, JoinPath(dir_, id))};
  }
}

InputCache::Pin InputCache::PinLocked(const std::string& id) {
  Entry& entry = entries_[id];
  ++entry.pins;
  entry.used = ++uses_;
  std::error_code ignored;
  std::filesystem::last_write_time(JoinPath(dir_, id + std::string(kMark)), std::filesystem::file_time_type::clock::now(),
                                   ignored);
  return Pin(new std::string(JoinPath(dir_, id)), [this, id](const std::string* path) {
    delete path;
    std::lock_guard<std::mutex> lock(mutex_);
    --entries_[id].pins;
    EvictLocked();
  });
}

StatusOr<InputCache::Pin> InputCache::Acquire(const std::string& id,
                                              const std::function<Status(const std::string&)>& fetch,
                                              const std::function<bool()>& wanted) {
  SWAGE_RETURN_IF_ERROR(Digest::FromHex(id));
  std::unique_lock<std::mutex> lock(mutex_);
  while (fetching_.count(id)) {
    changed_.wait_for(lock, std::chrono::milliseconds(100));
    if (!wanted()) return Error(StatusCode::kCancelled, "CANCELLED", "no longer wanted");
  }
  if (entries_.count(id)) return PinLocked(id);
  fetching_.insert(id);
  lock.unlock();
  const std::string folder = JoinPath(dir_, id);
  Status status = fetch(folder);
  const uint64_t bytes = status.ok() ? TreeBytes(env_, folder) : 0;
  if (status.ok()) status = WriteFileAtomic(env_, folder + std::string(kMark), Cat(bytes, "\n"));
  lock.lock();
  fetching_.erase(id);
  changed_.notify_all();
  SWAGE_RETURN_IF_ERROR(status);
  entries_[id].bytes = bytes;
  entries_[id].model = IsModel(env_, folder);
  Pin pin = PinLocked(id);
  EvictLocked();
  return pin;
}

void InputCache::EvictLocked() {
  while (true) {
    uint64_t total = 0;
    auto oldest = entries_.end();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      total += it->second.bytes;
      if (it->second.pins > 0) continue;
      if (oldest == entries_.end() || it->second.used < oldest->second.used) oldest = it;
    }
    if (total <= max_bytes_ || oldest == entries_.end()) return;
    // The mark first: a crash in between leaves a half entry, not one that passes for complete.
    const std::string folder = JoinPath(dir_, oldest->first);
    Status status = env_->Remove(folder + std::string(kMark));
    if (status.ok()) status = env_->RemoveTree(folder);
    if (!status.ok()) LogWarning("staging cache: ", MessageOf(status));
    entries_.erase(oldest);
  }
}

std::vector<std::string> InputCache::Models(size_t limit) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::pair<int64_t, std::string>> by_use;
  for (const auto& [id, entry] : entries_) {
    if (entry.model) by_use.emplace_back(entry.used, id);
  }
  std::sort(by_use.rbegin(), by_use.rend());
  std::vector<std::string> ids;
  for (size_t i = 0; i < std::min(limit, by_use.size()); ++i) ids.push_back(by_use[i].second);
  return ids;
}

uint64_t InputCache::bytes() {
  std::lock_guard<std::mutex> lock(mutex_);
  uint64_t total = 0;
  for (const auto& [id, entry] : entries_) total += entry.bytes;
  return total;
}

}  // namespace swage
