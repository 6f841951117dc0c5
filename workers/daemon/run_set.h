// Work that runs in threads of its own, each for one object: attempts. They are kept by a number of ours, not by what
// they are for: an assignment may come again under the same token while the thread of the first time has ended and has
// not been joined. Thread-safe; the bodies may call Start and ForEach.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace swage {

template <typename Work>
class RunSet {
 public:
  ~RunSet() { JoinAll(); }

  void Start(std::unique_ptr<Work> work, std::function<void(Work*)> body) {
    std::lock_guard<std::mutex> lock(mutex_);
    const uint64_t id = ++last_;
    Run& run = runs_[id];
    run.work = std::move(work);
    run.thread = std::thread([this, id, body = std::move(body), work = run.work.get()] {
      body(work);
      std::lock_guard<std::mutex> end(mutex_);
      ended_.push_back(id);
      changed_.notify_all();
    });
  }
  // Those whose threads have not been joined, ended ones too. Not from within `visit`.
  void ForEach(const std::function<void(Work*)>& visit) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto& [id, run] : runs_) visit(run.work.get());
  }
  void JoinEnded() {
    std::vector<Run> ended;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (const uint64_t id : std::exchange(ended_, {})) {
        ended.push_back(std::move(runs_.at(id)));
        runs_.erase(id);
      }
    }
    for (Run& run : ended) run.thread.join();
  }
  // Waits for all. They must have been told to end.
  void JoinAll() {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return ended_.size() == runs_.size(); });
    }
    JoinEnded();
  }
  size_t size() {
    std::lock_guard<std::mutex> lock(mutex_);
    return runs_.size();
  }

 private:
  struct Run {
    std::unique_ptr<Work> work;
    std::thread thread;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Run> runs_;
  std::vector<uint64_t> ended_;
  uint64_t last_ = 0;
};

}  // namespace swage
