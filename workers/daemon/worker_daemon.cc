#include "workers/daemon/worker_daemon.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/env.h"
#include "base/log.h"
#include "base/rng.h"
#include "workers/catalog/catalog.h"
#include "workers/daemon/attempt.h"
#include "workers/daemon/background.h"
#include "workers/daemon/devices.h"
#include "base/host_memory.h"
#include "workers/daemon/lease.h"
#include "workers/daemon/machine.h"
#include "workers/daemon/run_set.h"
#include "workers/daemon/scratch.h"
#include "workers/daemon/sync_client.h"

namespace swage {
namespace {

constexpr int kProgressEveryMs = 500;
constexpr int64_t kDrainTellMs = 10000;  // for the scheduler to hear of the end of what was stopped
constexpr int kRetryMs = 200;  // between calls while the scheduler does not answer
constexpr int kDeleteRetryMs = 1000;

class WorkerDaemonImpl : public WorkerDaemon {
 public:
  explicit WorkerDaemonImpl(const WorkerOptions& options)
      : options_(options), env_(Env::Posix()), table_(options.slots),
        board_(options.slots, options.memory_bytes, options.devices), client_(options.scheduler_address) {}

  ~WorkerDaemonImpl() override { Shutdown(); }

  std::string worker_id() const override { return worker_id_; }

  Status Init() {
    SWAGE_RETURN_IF_ERROR(env_->CreateDirs(options_.data_dir, 0700));
    SWAGE_ASSIGN_OR_RETURN(lock_, env_->Lock(JoinPath(options_.data_dir, "lock"), /*wait=*/false));
    SWAGE_ASSIGN_OR_RETURN(worker_id_, WorkerId(env_, options_.data_dir));
    report_.worker_id = worker_id_;
    report_.boot_id = RandomHex(8);
    report_.slot_count = options_.slots;
    report_.address = options_.address;
    for (const MethodRow& row : Methods()) report_.methods.push_back(Cat(row.id, "/", row.version));
    const std::string cache_dir = JoinPath(options_.data_dir, "cache");
    SWAGE_RETURN_IF_ERROR(env_->CreateDirs(cache_dir));
    cache_ = std::make_unique<InputCache>(env_, cache_dir, CacheBytes(env_, cache_dir));
    FillContext();
    SWAGE_RETURN_IF_ERROR(env_->CreateDirs(context_.scratch_dir));
    Sweep();
    SelfTest();
    table_.LimitMemory(options_.memory_bytes);
    for (const DeviceFields& device : board_.Report(options_.memory_bytes)) {
      if (device.kind != "cpu") table_.LimitDevice(device.id, device.total_bytes);
    }
    background_ = std::make_unique<Background>(options_.self_test_every_ms, [this] { SelfTestWhenIdle(); });
    sync_thread_ = std::thread([this] { SyncLoop(); });
    timer_thread_ = std::thread([this] { TimerLoop(); });
    return absl::OkStatus();
  }

  void Drain() override {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (stopping_) return;
      const auto idle = [this] { return table_.slots().empty(); };
      Execute(table_.Drain());
      News(/*urgent=*/true);
      if (options_.drain_seconds < 0) {
        changed_.wait(lock, idle);
      } else {
        changed_.wait_for(lock, std::chrono::seconds(options_.drain_seconds), idle);
      }
      Execute(table_.StopAll("DRAINED", options_.drain_grace_ms));
      News(/*urgent=*/true);
      // The children checkpoint and stop, the scheduler takes note of each; then nothing of ours is left there.
      changed_.wait_for(lock, std::chrono::milliseconds(options_.drain_grace_ms + kDrainTellMs), idle);
    }
    Shutdown();
  }

 private:
  struct Discard {
    std::string tenant, artifact;
  };

  int Threads() const {
    if (options_.threads_per_job > 0) return options_.threads_per_job;
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / std::max(1, options_.slots));
  }

  void FillContext() {
    context_.env = env_;
    context_.store_address = options_.store_address;
    context_.child_executable = options_.child_executable;
    context_.trace_file = options_.trace_file;
    context_.scratch_dir = JoinPath(options_.data_dir, "scratch");
    context_.threads = Threads();
    context_.share_checkpoints = options_.share_checkpoints;
    context_.share_every_ms = options_.share_every_ms;
    context_.cache = cache_.get();
    context_.tracer = options_.tracer;
    context_.clock = options_.clock;
    context_.refusal = [this](const Assignment& assignment) { return Refusal(assignment); };
    context_.progress = [this](const AttemptToken& token, const SlotProgress& progress) { OnProgress(token, progress); };
    context_.checkpointed = [this](const AttemptToken& token, const std::string& id) { OnCheckpoint(token, id); };
    context_.rendezvous = [this](const AttemptToken& token, const std::string& said) {
      std::lock_guard<std::mutex> lock(mutex_);
      table_.Rendezvous(token, said);
      News(/*urgent=*/true);
    };
    context_.may_commit = [this](const AttemptToken& token) {
      std::lock_guard<std::mutex> lock(mutex_);
      return lease_.held(options_.clock->MonotonicNanos()) && table_.MayCommit(token);
    };
  }

  void Shutdown() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (std::exchange(stopping_, true)) return;
      changed_.notify_all();
    }
    runs_.ForEach([](Attempt* attempt) { attempt->Stop(); });
    client_.Interrupt();
    if (timer_thread_.joinable()) timer_thread_.join();
    if (sync_thread_.joinable()) sync_thread_.join();
    runs_.JoinAll();
    background_.reset();
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
    if (!new_stage && now - last_progress_ < kProgressEveryMs * kNanosPerMilli) return;
    last_progress_ = now;
    News(/*urgent=*/true);
  }

  void OnCheckpoint(const AttemptToken& token, const std::string& id) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto it = table_.slots().find(token);
    if (it == table_.slots().end()) return;
    const Slot& slot = it->second;
    const std::string old = slot.checkpoint.empty() ? slot.assignment.checkpoint : slot.checkpoint;
    if (!old.empty() && old != id) discards_.push_back({slot.assignment.tenant, old});
    table_.Checkpointed(token, id);
    News(/*urgent=*/true);
  }

  // What nothing will ask for again. Best effort: what stays takes room, and does no harm.
  void DeleteCheckpoint(const Discard& discard) {
    background_->Post([this, discard] {
      ArtifactClient store(options_.store_address, discard.tenant, kDeleteRetryMs);
      const Status status = store.Delete(discard.artifact);
      if (!status.ok()) LogInfo("checkpoint ", discard.artifact, " stays in the store: ", MessageOf(status));
    });
  }

  // Free memory, and what our own children have of it.
  uint64_t MemoryForJobs() {
    uint64_t bytes = ReadHostMemory().available;
    runs_.ForEach([&](Attempt* attempt) { bytes += AnonymousBytesOf(attempt->child_pid()); });
    return bytes;
  }

  std::string Refusal(const Assignment& assignment) {
    const bool on_device = !assignment.devices.empty();
    const auto probed = on_device ? ProbeDevices(options_.child_executable, Threads())
                                  : StatusOr<std::vector<ProbedDevice>>(std::vector<ProbedDevice>());
    const uint64_t really = MemoryForJobs();
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Assignment> others;
    for (const auto& [token, slot] : table_.slots()) {
      const bool has = slot.state == SlotState::kRunning || slot.state == SlotState::kStopping;
      if (has && token != assignment.token) others.push_back(slot.assignment);
    }
    if (on_device) board_.Probed(probed, others);
    return board_.Refusal(assignment, others, really);
  }

  void SelfTest() {
    const auto found = ProbeDevices(options_.child_executable, Threads());
    std::lock_guard<std::mutex> lock(mutex_);
    board_.Probed(found, {});
    if (!found.ok()) LogError("the devices' self-test failed: ", MessageOf(found.status()));
    for (const ProbedDevice& device : found.ok() ? *found : std::vector<ProbedDevice>()) {
      if (!device.problem.empty()) LogError("device ", device.id, ": ", device.problem);
    }
    News(/*urgent=*/true);
  }

  void SelfTestWhenIdle() {
    if (runs_.size() == 0) SelfTest();
  }

  void Execute(const SlotTable::Actions& actions) {
    const auto find = [this](const AttemptToken& token, const std::function<void(Attempt*)>& act) {
      runs_.ForEach([&](Attempt* attempt) {
        if (attempt->token() == token) act(attempt);
      });
    };
    for (const AttemptToken& token : actions.stop) find(token, [](Attempt* attempt) { attempt->Stop(); });
    for (const auto& stop : actions.wind_down) {
      find(stop.token, [&](Attempt* attempt) { attempt->WindDown(stop.reason, stop.grace_ms); });
    }
    for (const Assignment& complete : actions.go) {
      find(complete.token, [&](Attempt* attempt) { attempt->Go(complete); });
    }
    for (const Assignment& gathered : actions.met) {
      find(gathered.token, [&](Attempt* attempt) { attempt->Met(gathered); });
    }
    for (const Assignment& assignment : actions.accepted) {
      RemoveScratch(env_, ScratchOf(context_.scratch_dir, assignment));
      if (!assignment.checkpoint.empty()) DeleteCheckpoint({assignment.tenant, assignment.checkpoint});
    }
    for (const Assignment& assignment : actions.start) {
      runs_.Start(std::make_unique<Attempt>(context_, assignment), [this](Attempt* attempt) { RunAttempt(attempt); });
    }
    if (!actions.start.empty() || !actions.stop.empty() || !actions.wind_down.empty() || !actions.go.empty() ||
        !actions.met.empty()) {
      News(/*urgent=*/true);
    }
    changed_.notify_all();
  }

  void Sweep() {
    std::set<std::string> in_use;
    for (const auto& [token, slot] : table_.slots()) in_use.insert(BaseName(ScratchOf("", slot.assignment)));
    SweepScratch(env_, context_.scratch_dir, options_.clock->UnixNanos(), in_use);
  }

  void RunAttempt(Attempt* attempt) {
    const AttemptToken token = attempt->token();
    LogInfo("job ", attempt->assignment().job, " epoch ", token.epoch, " starts");
    const SlotOutcome outcome = attempt->Run();
    LogInfo("job ", attempt->assignment().job, " epoch ", token.epoch, " ends ",
            outcome.manifest_digest.empty() ? Cat(outcome.reason, ": ", outcome.message) : outcome.manifest_digest);
    std::lock_guard<std::mutex> lock(mutex_);
    const auto actions = table_.Finished(token, outcome);
    News(/*urgent=*/true);
    if (!stopping_) Execute(actions);
    Sweep();
    if (outcome.reason == "DEVICE_FAILED") background_->RunPeriodicSoon();
    changed_.notify_all();
  }

  void FillReport() {
    report_.slots.clear();
    for (const auto& [token, slot] : table_.slots()) report_.slots.push_back(slot);
    report_.draining = table_.draining();
    report_.devices = board_.Report(board_.lowered() ? MemoryForJobs() : UINT64_MAX);
    report_.features = board_.Features();
    for (const std::string& feature : EngineFeatures()) report_.features.push_back(feature);
    report_.cached_models = cache_->Models(limits::kWorkerCachedModels);
    ++report_.sequence;
  }

  void SyncLoop() {
    bool reachable = true;
    std::unique_lock<std::mutex> lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      runs_.JoinEnded();
      lock.lock();
      FillReport();
      news_ = urgent_ = false;
      lease_.Sent(options_.clock->MonotonicNanos());
      in_call_ = true;
      changed_.notify_all();
      const SyncReport report = report_;
      const std::vector<Discard> replaced = std::exchange(discards_, {});
      lock.unlock();
      const auto reply = client_.Synchronize(report, 2 * limits::kSynchronizeHoldMs);
      lock.lock();
      in_call_ = false;
      if (stopping_) break;
      if (reply.ok()) {
        if (!reachable) LogInfo("the scheduler answers again");
        reachable = true;
        // It knows the new ones now.
        for (const Discard& discard : replaced) DeleteCheckpoint(discard);
        if (!reply->superseded && lease_.Answered(reply->lease_ms, options_.clock->MonotonicNanos())) {
          Execute(table_.Converge(reply->assignments));
        }
        continue;
      }
      discards_.insert(discards_.end(), replaced.begin(), replaced.end());
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
  std::string worker_id_;
  std::unique_ptr<InputCache> cache_;
  AttemptContext context_;

  std::mutex mutex_;  // before that of runs_
  std::condition_variable changed_;
  SlotTable table_;
  DeviceBoard board_;
  LeaseClock lease_;
  SyncReport report_;
  std::vector<Discard> discards_;  // checkpoints that newer ones have replaced
  bool stopping_ = false, news_ = false, urgent_ = false, in_call_ = false;
  int64_t last_progress_ = 0;
  int64_t fenced_ = 0;  // the fence that was acted upon

  SyncClient client_;
  std::unique_ptr<Background> background_;
  RunSet<Attempt> runs_;
  std::thread sync_thread_, timer_thread_;
};

}  // namespace

StatusOr<std::unique_ptr<WorkerDaemon>> WorkerDaemon::Start(const WorkerOptions& options) {
  WorkerOptions complete = options;
  if (complete.memory_bytes == 0) complete.memory_bytes = DefaultMemoryBytes();
  auto daemon = std::make_unique<WorkerDaemonImpl>(complete);
  SWAGE_RETURN_IF_ERROR(daemon->Init());
  return std::unique_ptr<WorkerDaemon>(std::move(daemon));
}

}  // namespace swage
