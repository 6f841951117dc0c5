#include "tests/chaos/cluster.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "base/env.h"

namespace swage::chaos {
namespace {

constexpr auto kReadyWithin = std::chrono::seconds(30);
constexpr int kStartTries = 50;

// Set by the thread that reads a process's output.
struct Ready {
  std::mutex mutex;
  std::condition_variable changed;
  bool ready = false;
};

std::string InPath(const char* program) {
  const char* path = std::getenv("PATH");
  for (const std::string& dir : Split(path == nullptr ? "/usr/bin" : path, ':')) {
    const std::string file = JoinPath(dir, program);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return program;
}

}  // namespace

StatusOr<std::unique_ptr<Cluster>> Cluster::Start(const ClusterOptions& options) {
  std::unique_ptr<Cluster> cluster(new Cluster(options));
  cluster->control_port_ = FreePort();
  for (const std::string& part : cluster->parts()) SWAGE_RETURN_IF_ERROR(cluster->Restart(part));
  return cluster;
}

Cluster::~Cluster() {
  for (const std::string& worker : workers()) processes_.erase(worker);
}

std::vector<std::string> Cluster::workers() const {
  std::vector<std::string> names;
  for (int i = 0; i < options_.workers; ++i) names.push_back(Cat("worker-", static_cast<char>('a' + i)));
  return names;
}

std::vector<std::string> Cluster::parts() const {
  std::vector<std::string> names;
  if (options_.redis) names.push_back("redis");
  for (const char* name : {"store", "scheduler-a", "scheduler-b", "control"}) names.push_back(name);
  for (const std::string& worker : workers()) names.push_back(worker);
  return names;
}

std::string Cluster::address(const std::string& part) const {
  if (part == "control") return Cat("127.0.0.1:", control_port_);
  return Cat("unix:", options_.data_dir, "/", part, ".sock");
}
std::string Cluster::control_address() const { return address("control"); }

std::string Cluster::StateUri() const {
  return options_.redis ? Cat("redis+unix://", options_.data_dir, "/redis.sock")
                        : JoinPath(options_.data_dir, "state.sqlite");
}

std::vector<std::string> Cluster::Command(const std::string& part) const {
  const std::string& data = options_.data_dir;
  const auto bin = [&](const char* name) { return JoinPath(options_.bin_dir, name); };
  const std::string schedulers = Cat(address("scheduler-a"), ",", address("scheduler-b"));
  if (part == "redis") {
    return {InPath("redis-server"), "--port", "0", "--unixsocket", JoinPath(data, "redis.sock"), "--dir", data,
            "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"};
  }
  if (part == "store") return {bin("swage-store"), "--data", JoinPath(data, "store"), "--listen", address(part)};
  if (part == "control") {
    return {bin("swage-control"), "--state", StateUri(), "--store", address("store"), "--scheduler", schedulers,
            "--listen", address(part), "--traces", JoinPath(data, "traces")};
  }
  if (StartsWith(part, "scheduler")) {
    return {bin("swage-scheduler"), "--state", StateUri(), "--store", address("store"), "--listen", address(part),
            "--lease-ms", Cat(options_.lease_ms), "--traces", JoinPath(data, "traces-" + part)};
  }
  return {bin("swage-worker"), "--data", JoinPath(data, part), "--scheduler", schedulers, "--store", address("store"),
          "--slots", Cat(options_.slots), "--threads", "1"};
}

Status Cluster::Restart(const std::string& part) {
  std::map<std::string, std::string> environment = {{"SWAGE_RPC_FAULTS", "@" + FaultFile(part)}};
  if (StartsWith(part, "worker") && !options_.hold.empty()) environment["SWAGE_HOLD"] = options_.hold;
  for (int i = 0; i < kStartTries; ++i) {  // it ends at once while, say, its port is still another's
    auto ready = std::make_shared<Ready>();
    auto process = Process::Spawn(Command(part), environment, log(part), [ready](const std::string& line) {
      if (line.find("eady") == std::string::npos) return;  // "swage-store ready: ...", Redis's "Ready to accept"
      std::lock_guard lock(ready->mutex);
      ready->ready = true;
      ready->changed.notify_all();
    });
    SWAGE_RETURN_IF_ERROR(process.status());
    processes_[part] = *std::move(process);
    const auto give_up = std::chrono::steady_clock::now() + kReadyWithin;
    std::unique_lock lock(ready->mutex);
    while (!ready->ready && processes_[part]->Running() && std::chrono::steady_clock::now() < give_up) {
      ready->changed.wait_for(lock, std::chrono::milliseconds(20));
    }
    if (ready->ready) return absl::OkStatus();
  }
  return Internal(Cat(part, " does not start; see ", log(part)));
}

void Cluster::Signal(const std::string& part, int signal, bool children) {
  const auto it = processes_.find(part);
  if (it == processes_.end()) return;
  if (children) {
    for (const pid_t pid : Children(part)) kill(pid, signal);
  }
  it->second->Signal(signal);
}

std::vector<pid_t> Cluster::Children(const std::string& worker) const {
  const auto it = processes_.find(worker);
  return it == processes_.end() ? std::vector<pid_t>() : DescendantsWith(it->second->pid(), "__job");
}

void Cluster::Kill(const std::string& part) {
  const auto it = processes_.find(part);
  if (it == processes_.end()) return;
  it->second->Signal(SIGKILL);
  it->second->Wait();
  processes_.erase(it);
}

bool Cluster::Running(const std::string& part) {
  const auto it = processes_.find(part);
  return it != processes_.end() && it->second->Running();
}

std::string Cluster::FaultFile(const std::string& part) const { return JoinPath(options_.data_dir, part + ".faults"); }
std::string Cluster::log(const std::string& part) const { return JoinPath(options_.data_dir, part + ".stderr"); }

void Cluster::SetFaults(const std::string& part, const std::string& faults) {
  SWAGE_CHECK(WriteFileAtomic(Env::Posix(), FaultFile(part), faults).ok(), part);
}

std::string Cluster::worker_id(const std::string& worker) const {
  const auto text = ReadFile(Env::Posix(), JoinPath(JoinPath(options_.data_dir, worker), "worker_id"), 4096);
  return text.ok() ? std::string(Trim(*text)) : "";
}

Status Cluster::StopAll() {
  std::vector<std::string> names = parts();
  Status status;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {  // workers first, Redis last
    const auto it = processes_.find(*name);
    if (it == processes_.end()) continue;
    it->second->Signal(SIGTERM);
    const int code = it->second->Wait();
    processes_.erase(it);
    if (code != 0 && status.ok()) status = Internal(Cat(*name, " ended with ", code, " after SIGTERM; see ", log(*name)));
  }
  return status;
}

}  // namespace swage::chaos
