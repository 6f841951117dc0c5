// What the platform carries, through its real daemons: jobs submitted a second and what each costs in each process,
// from submission to start, a leader's restart, a lost worker, a cancel, idling.
//
//   swage-bench-jobs --bin build/ci/bin [--state redis|sqlite] [--sockets tcp|unix] [--clients 32] [--seconds 5] [--queued 100000]
//
// The daemons are processes of their own on this machine; one redis-server with appendfsync everysec, or SQLite with
// full sync. Prints its conditions. See docs/benchmarks/scheduler.md.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "base/env.h"
#include "base/rng.h"
#include "services/kit/artifact_client.h"
#include "services/kit/rpc.h"
#include "swage/v1/admin.grpc.pb.h"
#include "swage/v1/job.grpc.pb.h"
#include "tests/chaos/process.h"
#include "tests/conformance/redis_server.h"
#include "tests/perf/sim_workers.h"
#include "tests/tools/free_port.h"

namespace swage {
namespace {

constexpr char kRecipe[] = "steps:\n- {kind: quantize, method: rtn, format: int8, granularity: channel}\nseed: 0\n";

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double CpuSeconds(pid_t pid) {
  std::ifstream file(Cat("/proc/", pid, "/stat"));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const size_t after = text.rfind(')');
  if (after == std::string::npos) return 0;
  unsigned long user = 0, system = 0;
  std::sscanf(text.c_str() + after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double At(std::vector<double>* sorted, double share) {
  if (sorted->empty()) return 0;
  std::sort(sorted->begin(), sorted->end());
  return (*sorted)[std::min(sorted->size() - 1, static_cast<size_t>(share * static_cast<double>(sorted->size())))];
}

struct Options {
  std::string bin, state = "redis", sockets = "tcp", model = "tests/data/models/classics-6m";
  int clients = 32, queued = 100000;
  double seconds = 5;
};

class Cluster {
 public:
  explicit Cluster(const Options& options) : options_(options) {
    if (options.state == "redis") {
      redis_ = std::make_unique<RedisServer>();
      state_ = redis_->uri();
    } else {
      state_ = JoinPath(dir_.path(), "state.sqlite");
    }
    for (int& port : ports_) port = FreePort();
  }
  Status Start() {
    SWAGE_RETURN_IF_ERROR(Spawn("swage-store", {"--data", JoinPath(dir_.path(), "store"), "--listen", Address(0)}));
    SWAGE_RETURN_IF_ERROR(StartScheduler());
    SWAGE_RETURN_IF_ERROR(Spawn("swage-control", {"--state", state_, "--store", Address(0), "--scheduler", Address(1),
                                                  "--listen", Address(2), "--traces", dir_.path()}));
    for (int i = 0; i < 32; ++i) channels_.push_back(Fresh(2, i));
    SWAGE_RETURN_IF_ERROR(AwaitLeader().status());
    ArtifactClient store(Address(0), "default");
    SWAGE_ASSIGN_OR_RETURN(const ArtifactInfo model, store.UploadFolder(options_.model, "model", "", nullptr));
    model_ = model.id;
    return absl::OkStatus();
  }
  Status StartScheduler() {
    return Spawn("swage-scheduler",
                 {"--state", state_, "--store", Address(0), "--listen", Address(1), "--traces", dir_.path()});
  }
  void KillScheduler() { processes_.erase("swage-scheduler"); }
  // Seconds until it leads and answers.
  StatusOr<v1::Stats> AwaitLeader() {
    const double give_up = Now() + 60;
    while (Now() < give_up) {
      const auto stats = Stats();
      if (stats.ok()) return *stats;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return Unavailable("NO_LEADER", "no scheduler leads after a minute");
  }
  StatusOr<v1::Stats> Stats() {
    v1::Stats stats;
    grpc::ClientContext context;
    PrepareContext(&context, 2000);
    const auto stub = v1::AdminService::NewStub(Fresh(1, 0));
    SWAGE_RETURN_IF_ERROR(FromGrpc(stub->GetStats(&context, {}, &stats)));
    return stats;
  }
  v1::CreateJobRequest Request(const std::string& id) const {
    v1::CreateJobRequest request;
    request.set_request_id(id);
    request.mutable_job()->set_model(model_);
    request.mutable_job()->set_recipe(kRecipe);
    request.mutable_job()->set_skip_cache(true);
    return request;
  }
  // A connection of its own: equal arguments would share one.
  std::shared_ptr<grpc::Channel> Fresh(int port, int number) {
    grpc::ChannelArguments arguments;
    arguments.SetInt("swage.bench", number);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
    return grpc::CreateCustomChannel(Address(port), grpc::InsecureChannelCredentials(), arguments);
  }
  std::vector<std::shared_ptr<grpc::Channel>> WorkerChannels(int count) {
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    for (int i = 0; i < count; ++i) channels.push_back(Fresh(1, 100 + i));
    return channels;
  }
  std::map<std::string, double> Cpu() const {
    std::map<std::string, double> cpu;
    for (const auto& [name, process] : processes_) cpu[name] = CpuSeconds(process->pid());
    if (redis_ != nullptr) cpu["redis-server"] = CpuSeconds(redis_->pid());
    cpu["client"] = CpuSeconds(getpid());
    return cpu;
  }
  const std::vector<std::shared_ptr<grpc::Channel>>& channels() const { return channels_; }

 private:
  std::string Address(int i) const {
    return options_.sockets == "unix" ? Cat("unix:", dir_.path(), "/", i, ".sock") : Cat("127.0.0.1:", ports_[i]);
  }
  Status Spawn(const std::string& name, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), JoinPath(options_.bin, name));
    SWAGE_ASSIGN_OR_RETURN(processes_[name], chaos::Process::Spawn(arguments, {}, JoinPath(dir_.path(), name + ".err"),
                                                                   [](const std::string&) {}));
    return absl::OkStatus();
  }

  const Options options_;
  TempDir dir_{"bench-jobs"};
  std::unique_ptr<RedisServer> redis_;
  std::string state_, model_;
  int ports_[3] = {};
  std::map<std::string, std::unique_ptr<chaos::Process>> processes_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
};

struct Load {
  Cluster* cluster;
  double end = 0;       // of submitting, by time
  int until = 0;        // or by number, when not 0
  std::string feature;  // that no worker has, so that jobs wait
  std::atomic<int> asked{0};
};

// One client: its next call goes out when the last one is answered, on a connection of its own.
class SubmittingClient {
 public:
  SubmittingClient(Load* load, int number)
      : load_(load), stub_(v1::JobService::NewStub(load->cluster->channels()[static_cast<size_t>(number) %
                                                                             load->cluster->channels().size()])) {}
  void Next() {
    if (load_->until > 0 ? load_->asked.fetch_add(1) >= load_->until : Now() >= load_->end) return done_.set_value();
    request_ = load_->cluster->Request(RandomHex(16));
    if (!load_->feature.empty()) request_.mutable_job()->mutable_resources()->add_features(load_->feature);
    context_.emplace();
    PrepareContext(&*context_, 10000);
    start_ = Now();
    stub_->async()->CreateJob(&*context_, &request_, &job_, [this](const grpc::Status& status) {
      if (status.ok()) {
        latencies.push_back((Now() - start_) * 1e3);
      } else {
        std::fprintf(stderr, "%s\n", status.error_message().c_str());
      }
      Next();
    });
  }
  void Await() { done_.get_future().wait(); }
  std::vector<double> latencies;

 private:
  Load* const load_;
  const std::unique_ptr<v1::JobService::Stub> stub_;
  std::optional<grpc::ClientContext> context_;
  v1::CreateJobRequest request_;
  v1::Job job_;
  double start_ = 0;
  std::promise<void> done_;
};

// `until`: how many jobs (0: by time). Returns how many were made.
int Submit(Cluster* cluster, int clients, double seconds, int until, const std::string& feature,
           std::vector<double>* latencies) {
  Load load{cluster, Now() + seconds, until, feature};
  std::vector<std::unique_ptr<SubmittingClient>> all;
  for (int i = 0; i < clients; ++i) all.push_back(std::make_unique<SubmittingClient>(&load, i));
  for (const auto& client : all) client->Next();
  for (const auto& client : all) {
    client->Await();
    latencies->insert(latencies->end(), client->latencies.begin(), client->latencies.end());
  }
  return static_cast<int>(latencies->size());
}

Status MeasureSubmission(Cluster* cluster, const Options& options) {
  std::vector<double> warm, latencies;
  Submit(cluster, options.clients, 1, 0, "nobody", &warm);
  const auto before = cluster->Cpu();
  const double start = Now();
  const int made = Submit(cluster, options.clients, options.seconds, 0, "nobody", &latencies);
  const double wall = Now() - start;
  const double all = static_cast<double>(made) + static_cast<double>(warm.size());
  while (true) {  // until the leader has taken all of them
    SWAGE_ASSIGN_OR_RETURN(const v1::Stats stats, cluster->Stats());
    if (static_cast<double>(stats.waiting()) >= all) break;
    if (Now() > start + wall + 60) return Internal(Cat("the leader knows ", stats.waiting(), " of ", all, " jobs"));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const double behind = Now() - start - wall;
  const auto after = cluster->Cpu();
  std::printf("%d clients, unary: %.0f jobs/s; p50 %.2f ms, p99 %.2f ms, longest %.1f ms; the leader was done %.2f s later\n",
              options.clients, made / wall, At(&latencies, 0.5), At(&latencies, 0.99), At(&latencies, 1), behind);
  std::printf("CPU-us per job:");
  double sum = 0;
  for (const auto& [name, seconds] : after) {
    const double each = (seconds - before.at(name)) / made * 1e6;
    sum += each;
    std::printf("  %s %.0f", name.c_str(), each);
  }
  std::printf("  (in all %.0f)\n", sum);
  return absl::OkStatus();
}

Status FillQueue(Cluster* cluster, const Options& options) {
  SWAGE_ASSIGN_OR_RETURN(v1::Stats stats, cluster->Stats());
  std::vector<double> unused;
  // Under the tenant's limit, which what is measured afterwards needs room below.
  const int missing = options.queued - 2000 - static_cast<int>(stats.waiting());
  if (missing > 0) Submit(cluster, options.clients, 0, missing, "nobody", &unused);
  while (static_cast<int>(stats.waiting()) < options.queued - 2000) {
    SWAGE_ASSIGN_OR_RETURN(stats, cluster->Stats());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return absl::OkStatus();
}

// Jobs one after another to workers that have nothing to do: from the client's call to the worker's answer.
Status MeasureStart(Cluster* cluster, int workers, int jobs, const char* what) {
  std::mutex mu;
  std::condition_variable changed;
  std::map<std::string, double> given;
  SimWorkerOptions options;
  options.count = workers;
  SimWorkers pool(cluster->WorkerChannels(std::min(workers, 16)), options, [&](int, const v1::Assignment& assignment) {
    std::lock_guard lock(mu);
    given[assignment.job()] = Now();
    changed.notify_all();
  });
  const double ready = Now() + 30;
  while (Now() < ready) {
    SWAGE_ASSIGN_OR_RETURN(const v1::Stats stats, cluster->Stats());
    if (static_cast<int>(stats.workers()) >= workers) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const auto stub = v1::JobService::NewStub(cluster->channels()[0]);
  std::vector<double> waits;
  for (int i = 0; i < jobs; ++i) {
    v1::Job job;
    grpc::ClientContext context;
    PrepareContext(&context, 10000);
    const double start = Now();
    SWAGE_RETURN_IF_ERROR(FromGrpc(stub->CreateJob(&context, cluster->Request(RandomHex(16)), &job)));
    std::unique_lock lock(mu);
    const std::string id = job.name().substr(5);
    if (!changed.wait_for(lock, std::chrono::seconds(20), [&] { return given.contains(id); })) {
      return Internal(Cat(job.name(), " was not given to a worker"));
    }
    waits.push_back((given[id] - start) * 1e3);
  }
  SWAGE_ASSIGN_OR_RETURN(const v1::Stats stats, cluster->Stats());
  std::printf("%s: submit -> worker p50 %.1f ms, p99 %.1f ms, longest %.1f ms (%d jobs); longest pass since it leads %.1f ms\n",
              what, At(&waits, 0.5), At(&waits, 0.99), At(&waits, 1), jobs, stats.longest_pass_seconds() * 1e3);
  return absl::OkStatus();
}

Status MeasureRestart(Cluster* cluster) {
  SWAGE_ASSIGN_OR_RETURN(const v1::Stats before, cluster->Stats());
  cluster->KillScheduler();
  const double start = Now();
  SWAGE_RETURN_IF_ERROR(cluster->StartScheduler());
  SWAGE_ASSIGN_OR_RETURN(const v1::Stats after, cluster->AwaitLeader());
  std::printf("kill -9 of the leader with %lu jobs waiting: a new one leads after %.2f s, %lu waiting\n",
              static_cast<unsigned long>(before.waiting()), Now() - start, static_cast<unsigned long>(after.waiting()));
  return absl::OkStatus();
}

Status MeasureLossAndCancel(Cluster* cluster) {
  std::mutex mu;
  std::condition_variable changed;
  std::vector<std::pair<int, double>> given, taken;
  SimWorkerOptions options;
  options.count = 2;
  options.end_at_once = false;
  SimWorkers pool(cluster->WorkerChannels(2), options,
                  [&](int worker, const v1::Assignment&) {
                    std::lock_guard lock(mu);
                    given.emplace_back(worker, Now());
                    changed.notify_all();
                  },
                  [&](int worker) {
                    std::lock_guard lock(mu);
                    taken.emplace_back(worker, Now());
                    changed.notify_all();
                  });
  const auto stub = v1::JobService::NewStub(cluster->channels()[0]);
  v1::Job job;
  grpc::ClientContext create;
  PrepareContext(&create, 10000);
  SWAGE_RETURN_IF_ERROR(FromGrpc(stub->CreateJob(&create, cluster->Request(RandomHex(16)), &job)));
  const auto wait = [&](const std::vector<std::pair<int, double>>& list, size_t count) {
    std::unique_lock lock(mu);
    return changed.wait_for(lock, std::chrono::seconds(60), [&] { return list.size() >= count; });
  };
  if (!wait(given, 1)) return Internal("the job was not given to a worker");
  std::this_thread::sleep_for(std::chrono::seconds(1));
  pool.Silence(given[0].first);
  const double silent = Now();
  if (!wait(given, 2)) return Internal("the lost worker's job did not go elsewhere");
  std::printf("a silent worker's job runs elsewhere after %.1f s (lease 10 s)\n", given[1].second - silent);
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  v1::CancelJobRequest cancel;
  cancel.set_name(job.name());
  grpc::ClientContext context;
  PrepareContext(&context, 10000);
  const double start = Now();
  SWAGE_RETURN_IF_ERROR(FromGrpc(stub->CancelJob(&context, cancel, &job)));
  if (!wait(taken, 1)) return Internal("the worker was not told of the cancel");
  std::printf("a cancel reaches the worker after %.0f ms\n", (taken[0].second - start) * 1e3);
  return absl::OkStatus();
}

void MeasureIdle(Cluster* cluster) {
  std::this_thread::sleep_for(std::chrono::seconds(2));
  const auto before = cluster->Cpu();
  constexpr double kSeconds = 10;
  std::this_thread::sleep_for(std::chrono::duration<double>(kSeconds));
  std::printf("idle, share of a core:");
  for (const auto& [name, seconds] : cluster->Cpu()) {
    if (name != "client") std::printf("  %s %.2f %%", name.c_str(), (seconds - before.at(name)) / kSeconds * 100);
  }
  std::printf("\n");
}

Status Main(const Options& options) {
  std::printf("state: %s; %u cores; sockets: %s; model %s by id; recipe rtn int8\n", options.state.c_str(),
              std::thread::hardware_concurrency(), options.sockets.c_str(), options.model.c_str());
  {
    Cluster cluster(options);
    SWAGE_RETURN_IF_ERROR(cluster.Start());
    MeasureIdle(&cluster);
    SWAGE_RETURN_IF_ERROR(MeasureStart(&cluster, 100, 300, "100 idle workers, nothing else queued"));
    SWAGE_RETURN_IF_ERROR(MeasureLossAndCancel(&cluster));
  }
  Cluster cluster(options);
  SWAGE_RETURN_IF_ERROR(cluster.Start());
  SWAGE_RETURN_IF_ERROR(MeasureSubmission(&cluster, options));
  SWAGE_RETURN_IF_ERROR(FillQueue(&cluster, options));
  SWAGE_RETURN_IF_ERROR(MeasureRestart(&cluster));
  SWAGE_RETURN_IF_ERROR(MeasureStart(&cluster, 1000, 300, "1,000 idle workers, the queue full of jobs that fit nowhere"));
  return absl::OkStatus();
}

}  // namespace
}  // namespace swage

int main(int argc, char** argv) {
  swage::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--bin") options.bin = value;
    if (name == "--state") options.state = value;
    if (name == "--sockets") options.sockets = value;
    if (name == "--model") options.model = value;
    if (name == "--clients") options.clients = std::stoi(value);
    if (name == "--seconds") options.seconds = std::stod(value);
    if (name == "--queued") options.queued = std::stoi(value);
  }
  if (options.bin.empty() || options.clients < 1) {
    std::fprintf(stderr, "usage: swage-bench-jobs --bin DIR [--state redis|sqlite] [--sockets tcp|unix] [--clients N] [--seconds S] [--queued N]\n");
    return 2;
  }
  const swage::Status status = swage::Main(options);
  if (!status.ok()) std::fprintf(stderr, "%s\n", swage::MessageOf(status).c_str());
  return status.ok() ? 0 : 1;
}
