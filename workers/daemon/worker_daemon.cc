#include "workers/daemon/worker_daemon.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/env.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/rng.h"
#include "workers/catalog/catalog.h"
#include "workers/daemon/attempt.h"
#include "workers/daemon/lease.h"
#include "workers/daemon/machine.h"
#include "workers/daemon/scratch.h"
#include "workers/daemon/sync_client.h"

namespace swage {
namespace {

constexpr int64_t kMillis = 1000000;
constexpr int kProgressEveryMs = 500;
constexpr int kDrainMs = 10000;
constexpr int kRetryMs = 200;  // between calls while the scheduler does not answer

class WorkerDaemonImpl : public WorkerDaemon {
 public:
  explicit WorkerDaemonImpl(const WorkerOptions& options)
      : options_(options), env_(Env::Posix()), table_(options.slots), client_(options.scheduler_address) {}

  ~WorkerDaemonImpl() override { Shutdown(); }

  Status Init() {
    SWAGE_RETURN_IF_ERROR(env_->CreateDirs(options_.data_dir, 0700));
    SWAGE_ASSIGN_OR_RETURN(lock_, env_->Lock(JoinPath(options_.data_dir, "lock"), /*wait=*/false));
    SWAGE_ASSIGN_OR_RETURN(report_.worker_id, WorkerId(env_, options_.data_dir));
    report_.boot_id = RandomHex(8);
    report_.slot_count = options_.slots;
    report_.devices.push_back(CpuDevice(options_.memory_bytes, Threads()));
    table_.LimitMemory(report_.devices.back().total_bytes);
    for (const MethodRow& row : Methods()) report_.methods.push_back(Cat(row.id, "/", row.version));
    const std::string cache_dir = JoinPath(options_.data_dir, "cache");
    SWAGE_RETURN_IF_ERROR(env_->CreateDirs(cache_dir));
    cache_ = std::make_unique<InputCache>(env_, cache_dir, CacheBytes(env_, cache_dir));
    context_.env = env_;
    context_.store_address = options_.store_address;
    context_.child_executable = options_.child_executable;
    context_.trace_file = options_.trace_file;
    context_.scratch_dir = JoinPath(options_.data_dir, "scratch");
    context_.threads = Threads();
    context_.cache = cache_.get();
    context_.tracer = options_.tracer;
    context_.clock = options_.clock;
    context_.progress = [this](const AttemptToken& token, const SlotProgress& progress) { OnProgress(token, progress); };
    context_.may_commit = [this](const AttemptToken& token) {
      std::lock_guard<std::mutex> lock(mutex_);
      return lease_.held(options_.clock->MonotonicNanos()) && table_.MayCommit(token);
    };
    SWAGE_RETURN_IF_ERROR(env_->CreateDirs(context_.scratch_dir));
    Sweep();
    sync_thread_ = std::thread([this] { SyncLoop(); });
    timer_thread_ = std::thread([this] { TimerLoop(); });
    return absl::OkStatus();
  }

  void Drain() override {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (stopping_) return;
      table_.Drain();
      for (auto& [id, run] : runs_) run.attempt->Stop(Attempt::StopKind::kDrain);
      News(/*urgent=*/true);
      // The children checkpoint and stop, the scheduler takes note of each; then nothing of ours is left there.
      changed_.wait_for(lock, std::chrono::milliseconds(kDrainMs), [this] { return table_.slots().empty(); });
    }
    Shutdown();
  }

 private:
  struct Run {
    std::unique_ptr<Attempt> attempt;
    std::thread thread;
  };

  int Threads() const {
    if (options_.threads_per_job > 0) return options_.threads_per_job;
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / std::max(1, options_.slots));
  }

  void Shutdown() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (std::exchange(stopping_, true)) return;
      for (auto& [id, run] : runs_) run.attempt->Stop(Attempt::StopKind::kUnwanted);
      changed_.notify_all();
    }
    client_.Interrupt();
    if (timer_thread_.joinable()) timer_thread_.join();
    if (sync_thread_.joinable()) sync_thread_.join();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return runs_.size() == ended_.size(); });
    JoinEnded(&lock);
  }

  // What changed here. Urgent: said at once by cutting the held call short; else with the next call.
  void News(bool urgent) {
    news_ = true;
    urgent_ = urgent_ || urgent;
    changed_.notify_all();
  }

  void OnProgress(const AttemptToken& token, const SlotProgress& progress) {
    std::lock_guard<std::mutex> lock(mutex_);
    const int64_t now = options_.clock->MonotonicNanos();
    const auto it = table_.slots().find(token);
    if (it == table_.slots().end()) return;
    const bool new_stage = it->second.progress.stage != progress.stage;
    table_.Progress(token, progress);
    if (!new_stage && now - last_progress_ < kProgressEveryMs * kMillis) return;
    last_progress_ = now;
    News(/*urgent=*/true);
  }

  void Execute(const SlotTable::Actions& actions) {
    for (const AttemptToken& token : actions.stop) {
      for (auto& [id, run] : runs_) {
        if (run.attempt->assignment().token == token) run.attempt->Stop(Attempt::StopKind::kUnwanted);
      }
    }
    for (const Assignment& assignment : actions.accepted) {
      RemoveScratch(env_, ScratchOf(context_.scratch_dir, assignment));
    }
    for (const Assignment& assignment : actions.start) {
      Run& run = runs_[++last_run_];
      run.attempt = std::make_unique<Attempt>(context_, assignment);
      run.thread = std::thread([this, id = last_run_, attempt = run.attempt.get()] { RunAttempt(id, attempt); });
    }
    if (!actions.start.empty() || !actions.stop.empty()) News(/*urgent=*/true);
    changed_.notify_all();
  }

  void Sweep() {
    std::set<std::string> in_use;
    for (const auto& [token, slot] : table_.slots()) in_use.insert(BaseName(ScratchOf("", slot.assignment)));
    SweepScratch(env_, context_.scratch_dir, options_.clock->UnixNanos(), in_use);
  }

  void RunAttempt(uint64_t id, Attempt* attempt) {
    const AttemptToken token = attempt->assignment().token;
    LogInfo("job ", attempt->assignment().job, " epoch ", token.epoch, " starts");
    const SlotOutcome outcome = attempt->Run();
    LogInfo("job ", attempt->assignment().job, " epoch ", token.epoch, " ends ",
            outcome.manifest_digest.empty() ? Cat(outcome.reason, ": ", outcome.message) : outcome.manifest_digest);
    std::lock_guard<std::mutex> lock(mutex_);
    ended_.push_back(id);
    const auto actions = table_.Finished(token, outcome);
    News(/*urgent=*/true);
    if (!stopping_) Execute(actions);
    Sweep();
    changed_.notify_all();
  }

  void JoinEnded(std::unique_lock<std::mutex>* lock) {
    while (!ended_.empty()) {
      const auto it = runs_.find(ended_.back());
      ended_.pop_back();
      if (it == runs_.end()) continue;
      Run run = std::move(it->second);
      runs_.erase(it);
      lock->unlock();
      run.thread.join();
      lock->lock();
    }
  }

  void SyncLoop() {
    bool reachable = true;
    std::unique_lock<std::mutex> lock(mutex_);
    while (!stopping_) {
      JoinEnded(&lock);
      report_.slots.clear();
      for (const auto& [token, slot] : table_.slots()) report_.slots.push_back(slot);
      report_.draining = table_.draining();
      ++report_.sequence;
      news_ = urgent_ = false;
      lease_.Sent(options_.clock->MonotonicNanos());
      in_call_ = true;
      changed_.notify_all();
      const SyncReport report = report_;
      lock.unlock();
      const auto reply = client_.Synchronize(report, 2 * limits::kSynchronizeHoldMs);
      lock.lock();
      in_call_ = false;
      if (reply.ok()) {
        if (!reachable) LogInfo("the scheduler answers again");
        reachable = true;
        if (!reply->superseded && lease_.Answered(reply->lease_ms, options_.clock->MonotonicNanos())) {
          Execute(table_.Converge(reply->assignments));
        }
        continue;
      }
      if (reply.status().code() == StatusCode::kCancelled) continue;  // our own news
      if (reachable) LogWarning("the scheduler does not answer: ", MessageOf(reply.status()));
      reachable = false;
      changed_.wait_for(lock, std::chrono::milliseconds(kRetryMs), [this] { return stopping_; });
    }
  }

  // Two things in time: the fence, and cutting a held call short for news.
  void TimerLoop() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!stopping_) {
      const int64_t now = options_.clock->MonotonicNanos();
      int64_t next = INT64_MAX;
      if (!table_.slots().empty() && lease_.fence_at() != 0 && fenced_ != lease_.fence_at()) {
        if (now >= lease_.fence_at()) {
          LogWarning("the lease was not renewed in time: stopping what runs");
          fenced_ = lease_.fence_at();
          Execute(table_.Fence());
          continue;
        }
        next = lease_.fence_at();
      }
      if (in_call_ && news_ && urgent_) {
        const int64_t at = lease_.MayInterruptAt();
        if (now >= at) {
          in_call_ = false;  // once per call
          client_.Interrupt();
          continue;
        }
        next = std::min(next, at);
      }
      if (next == INT64_MAX) {
        changed_.wait(lock);
      } else {
        changed_.wait_for(lock, std::chrono::nanoseconds(next - now));
      }
    }
  }

  const WorkerOptions options_;
  Env* const env_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<InputCache> cache_;
  AttemptContext context_;

  std::mutex mutex_;
  std::condition_variable changed_;
  SlotTable table_;
  LeaseClock lease_;
  SyncReport report_;
  // By a number of our own: an assignment may come again, under the same token, before its last thread has been joined.
  std::map<uint64_t, Run> runs_;
  uint64_t last_run_ = 0;
  std::vector<uint64_t> ended_;  // their threads are to be joined
  bool stopping_ = false, news_ = false, urgent_ = false, in_call_ = false;
  int64_t last_progress_ = 0;
  int64_t fenced_ = 0;  // the fence that was acted upon

  SyncClient client_;
  std::thread sync_thread_, timer_thread_;
};

}  // namespace

StatusOr<std::unique_ptr<WorkerDaemon>> WorkerDaemon::Start(const WorkerOptions& options) {
  auto daemon = std::make_unique<WorkerDaemonImpl>(options);
  SWAGE_RETURN_IF_ERROR(daemon->Init());
  return std::unique_ptr<WorkerDaemon>(std::move(daemon));
}

}  // namespace swage
