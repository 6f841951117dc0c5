#include "services/embedded/embedded.h"

#include <unistd.h>

#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/env.h"
#include "base/limits.h"
#include "base/telemetry/trace.h"
#include "scheduler/server/scheduler_server.h"
#include "scheduler/state/state_store.h"
#include "services/control/control_server.h"
#include "services/gateway/gateway.h"
#include "services/kit/serving.h"
#include "storage/server/store_server.h"
#include "workers/daemon/worker_daemon.h"

namespace swage {
namespace {

constexpr size_t kSocketPathBytes = 100;  // of 107 that the kernel takes
constexpr int kDrainMs = 2000;
constexpr int kStopGraceMs = 5000;  // of a running job's block, when the platform stops

Status AlreadyRunning(Env* env, const std::string& data_dir) {
  const auto holder = ReadFile(env, JoinPath(data_dir, "lock.holder"), 4096);
  return Unavailable("ALREADY_RUNNING",
                     Cat("another swage runs on ", data_dir, holder.ok() ? Cat(" (", Trim(*holder), ")") : ""),
                     "use it (other commands find it by --data), stop it, or choose another --data");
}

class Platform : public EmbeddedPlatform {
 public:
  explicit Platform(const EmbeddedOptions& options) : options_(options), env_(Env::Posix()) {}
  ~Platform() override { Stop(); }

  std::string address() const override { return address_; }
  std::string tcp_address() const override { return tcp_address_; }
  std::string http_address() const override { return gateway_ == nullptr ? "" : gateway_->address(); }

  Status Init() {
    SWAGE_RETURN_IF_ERROR(LockData());
    SWAGE_RETURN_IF_ERROR(OpenTraces());
    SWAGE_ASSIGN_OR_RETURN(address_, ChooseSocket());
    StoreOptions store;
    store.data_dir = In("store");
    store.clock = options_.clock;
    store.tracer = TracerOf("store");
    SWAGE_ASSIGN_OR_RETURN(store_, StoreServer::Open(store));
    SWAGE_ASSIGN_OR_RETURN(auto state, OpenSqliteStateStore(In("state.sqlite")));
    const std::shared_ptr<StateStore> shared_state = std::move(state);
    SWAGE_RETURN_IF_ERROR(StartServices(shared_state));
    SWAGE_RETURN_IF_ERROR(StartWorker());
    if (!options_.http.empty()) {
      SWAGE_ASSIGN_OR_RETURN(gateway_, Gateway::Start({options_.http, address_, address_}));
    }
    return WriteFileAtomic(env_, In("run/address"), address_ + "\n");
  }

  void Stop() override {
    if (std::exchange(stopped_, true)) return;
    (void)env_->Remove(In("run/address"));
    gateway_.reset();
    if (serving_ != nullptr) serving_->SetServing(false);
    if (worker_ != nullptr) worker_->Drain();
    worker_.reset();
    if (scheduler_ != nullptr) scheduler_->Shutdown();
    if (control_ != nullptr) control_->Shutdown();
    if (serving_ != nullptr) serving_->Drain(kDrainMs);
    if (store_ != nullptr) store_->Shutdown();
    serving_.reset();
    scheduler_.reset();
    control_.reset();
    store_.reset();
    if (!private_socket_dir_.empty()) (void)env_->RemoveTree(private_socket_dir_);
    (void)env_->Remove(In("lock.holder"));
    lock_.reset();
  }

 private:
  std::string In(std::string_view name) const { return JoinPath(options_.data_dir, name); }

  Status LockData() {
    SWAGE_RETURN_IF_ERROR(env_->CreateDirs(options_.data_dir));
    auto lock = env_->Lock(In("lock"), /*wait=*/false);
    if (ReasonOf(lock.status()) == "LOCKED") {
      stopped_ = true;  // nothing here is ours to clean up
      return AlreadyRunning(env_, options_.data_dir);
    }
    SWAGE_RETURN_IF_ERROR(lock.status());
    lock_ = *std::move(lock);
    SWAGE_RETURN_IF_ERROR(env_->CreateDirs(In("run"), 0700));
    return WriteFileAtomic(env_, In("lock.holder"),
                           Cat("process ", ::getpid(), ", since ", Rfc3339(options_.clock->UnixNanos()), "\n"));
  }

  Status OpenTraces() {
    SWAGE_RETURN_IF_ERROR(env_->CreateDirs(In("traces")));
    for (const char* name : {"control", "scheduler", "store", "worker"}) {
      SWAGE_ASSIGN_OR_RETURN(auto sink, NewJsonLinesSink(In(Cat("traces/", name, ".jsonl"))));
      tracers_[name] = std::make_unique<Tracer>(Cat("swage-", name), options_.clock, std::move(sink));
    }
    return absl::OkStatus();
  }
  Tracer* TracerOf(const std::string& name) { return tracers_.at(name).get(); }

  // In the data folder where the kernel's limit on socket paths allows it.
  StatusOr<std::string> ChooseSocket() {
    const std::string path = In("run/swage.sock");
    if (path.size() <= kSocketPathBytes && !path.empty() && path[0] == '/') return Cat("unix:", path);
    const std::string name = Sha256Of(path).Hex().substr(0, 16);
    private_socket_dir_ = Cat("/tmp/swage-", ::getuid(), "-", name);
    SWAGE_RETURN_IF_ERROR(env_->CreateDirs(private_socket_dir_, 0700));
    return Cat("unix:", private_socket_dir_, "/swage.sock");
  }

  Status StartServices(const std::shared_ptr<StateStore>& state) {
    SchedulerOptions scheduler;
    scheduler.state = state;
    scheduler.store_address = address_;
    scheduler.lease_ms = options_.lease_ms > 0 ? options_.lease_ms : limits::kLeaseMs;
    scheduler.clock = options_.clock;
    scheduler.tracer = TracerOf("scheduler");
    SWAGE_ASSIGN_OR_RETURN(scheduler_, SchedulerServer::Start(scheduler));
    ControlOptions control;
    control.state = state;
    control.store_address = address_;
    control.clock = options_.clock;
    control.tracer = TracerOf("control");
    SWAGE_ASSIGN_OR_RETURN(control_, ControlServer::Start(control));
    std::vector<grpc::Service*> services;
    for (const auto& some : {store_->services(), scheduler_->services(), control_->services()}) {
      services.insert(services.end(), some.begin(), some.end());
    }
    std::vector<std::string> addresses = {address_};
    if (!options_.listen.empty()) addresses.push_back(options_.listen);
    SWAGE_ASSIGN_OR_RETURN(serving_, Serving::Start(addresses, services));
    if (!options_.listen.empty()) tcp_address_ = serving_->addresses().back();
    return absl::OkStatus();
  }

  Status StartWorker() {
    WorkerOptions worker;
    worker.data_dir = In("worker");
    worker.scheduler_address = worker.store_address = address_;
    worker.child_executable = options_.child_executable;
    worker.trace_file = In("traces/job.jsonl");
    worker.slots = options_.slots;
    worker.threads_per_job = options_.threads_per_job;
    worker.memory_bytes = options_.memory_bytes;
    worker.drain_grace_ms = kStopGraceMs;
    // Its own scratch folder is there again at the next start; others can only help where they can call.
    worker.share_checkpoints = !options_.listen.empty();
    worker.clock = options_.clock;
    worker.tracer = TracerOf("worker");
    SWAGE_ASSIGN_OR_RETURN(worker_, WorkerDaemon::Start(worker));
    return absl::OkStatus();
  }

  const EmbeddedOptions options_;
  Env* const env_;
  bool stopped_ = false;
  std::string address_, tcp_address_, private_socket_dir_;
  std::unique_ptr<FileLock> lock_;
  std::map<std::string, std::unique_ptr<Tracer>> tracers_;
  std::unique_ptr<StoreServer> store_;
  std::unique_ptr<SchedulerServer> scheduler_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<Serving> serving_;
  std::unique_ptr<WorkerDaemon> worker_;
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace

StatusOr<std::unique_ptr<EmbeddedPlatform>> EmbeddedPlatform::Start(const EmbeddedOptions& options) {
  if (options.data_dir.empty()) return InvalidInput("DATA_NOT_GIVEN", "the data folder's name is empty", "use --data DIR");
  EmbeddedOptions absolute = options;
  std::error_code error;
  absolute.data_dir = std::filesystem::absolute(options.data_dir, error).string();
  auto platform = std::make_unique<Platform>(absolute);
  SWAGE_RETURN_IF_ERROR(platform->Init());
  return std::unique_ptr<EmbeddedPlatform>(std::move(platform));
}

}  // namespace swage
