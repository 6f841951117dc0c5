// What was found out lately, by key: bounded, and good for so long. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace swage {

template <typename T>
class Recent {
 public:
  Recent(size_t capacity, int64_t good_nanos) : capacity_(capacity), good_nanos_(good_nanos) {}

  std::shared_ptr<const T> Find(const std::string& key, int64_t now_mono) const {
    std::lock_guard lock(mu_);
    auto it = entries_.find(key);
    if (it == entries_.end() || now_mono - it->second.since > good_nanos_) return nullptr;
    return it->second.value;
  }
  std::shared_ptr<const T> Put(const std::string& key, T value, int64_t now_mono) {
    auto shared = std::make_shared<const T>(std::move(value));
    std::lock_guard lock(mu_);
    if (entries_.size() >= capacity_) entries_.clear();
    entries_[key] = {now_mono, shared};
    return shared;
  }

 private:
  struct Entry {
    int64_t since = 0;
    std::shared_ptr<const T> value;
  };
  const size_t capacity_;
  const int64_t good_nanos_;
  mutable std::mutex mu_;
  std::map<std::string, Entry> entries_;
};

}  // namespace swage
