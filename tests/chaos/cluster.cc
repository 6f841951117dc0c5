#include "tests/chaos/cluster.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/env.h"
#include "tests/tools/free_port.h"

namespace swage::chaos {
namespace {

constexpr auto kReadyWithin = std::chrono::seconds(60);
constexpr auto kAgainAfter = std::chrono::milliseconds(200);

std::string InPath(const char* program) {
  const char* path = std::getenv("PATH");
  for (const std::string& dir : Split(path == nullptr ? "/usr/bin" : path, ':')) {
    const std::string file = JoinPath(dir, program);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return program;
}

}  // namespace

struct Cluster::Part {
  std::unique_ptr<Process> process;
  std::chrono::steady_clock::time_point spawned;
  std::atomic<bool> ready{false};
};

StatusOr<std::unique_ptr<Cluster>> Cluster::Start(const ClusterOptions& options) {
  std::unique_ptr<Cluster> cluster(new Cluster(options));
  cluster->control_port_ = FreePort();
  for (const std::string& part : cluster->parts()) {
    SWAGE_RETURN_IF_ERROR(cluster->Spawn(part));
    SWAGE_RETURN_IF_ERROR(cluster->AwaitReady());
  }
  return cluster;
}

Cluster::~Cluster() {
  for (const std::string& worker : workers()) up_.erase(worker);
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

Status Cluster::Spawn(const std::string& name) {
  std::map<std::string, std::string> environment = {{"SWAGE_RPC_FAULTS", "@" + FaultFile(name)}};
  if (StartsWith(name, "worker") && !options_.hold.empty()) environment["SWAGE_HOLD"] = options_.hold;
  auto part = std::make_shared<Part>();
  // "swage-store ready: ...", Redis's "Ready to accept connections".
  SWAGE_ASSIGN_OR_RETURN(part->process,
                         Process::Spawn(Command(name), environment, log(name), [weak = std::weak_ptr(part)](const std::string& line) {
                           const auto part = weak.lock();
                           if (part != nullptr && line.find("eady") != std::string::npos) part->ready = true;
                         }));
  part->spawned = std::chrono::steady_clock::now();
  up_[name] = std::move(part);
  return absl::OkStatus();
}

void Cluster::Supervise() {
  for (const std::string& name : parts()) {
    const auto it = up_.find(name);
    if (it == up_.end()) continue;  // down
    Part& part = *it->second;
    if (part.process->Running() || std::chrono::steady_clock::now() - part.spawned < kAgainAfter) continue;
    const int code = part.process->Wait();
    if (code >= 128) crashes_.push_back(Cat(name, " ended with signal ", code - 128, "; see its log"));
    refused_starts_ += !part.ready;
    SWAGE_CHECK(Spawn(name).ok(), name);
  }
}

Status Cluster::AwaitReady() {
  const auto give_up = std::chrono::steady_clock::now() + kReadyWithin;
  while (true) {
    Supervise();
    std::string missing;
    for (const auto& [name, part] : up_) {
      if (!part->ready) missing = name;
    }
    if (missing.empty()) return absl::OkStatus();
    if (std::chrono::steady_clock::now() > give_up) {
      const auto said = ReadFile(Env::Posix(), log(missing), 64 << 20);
      const std::string text = said.ok() ? *said : "";
      return Internal(Cat(missing, " does not start: ", text.substr(text.size() > 2000 ? text.size() - 2000 : 0)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void Cluster::Signal(const std::string& part, int signal, bool children) {
  const auto it = up_.find(part);
  if (it == up_.end()) return;
  if (children) {
    for (const pid_t pid : Children(part)) kill(pid, signal);
  }
  it->second->process->Signal(signal);
}

std::vector<pid_t> Cluster::Children(const std::string& worker) const {
  const auto it = up_.find(worker);
  return it == up_.end() ? std::vector<pid_t>() : DescendantsWith(it->second->process->pid(), "__job");
}

void Cluster::Kill(const std::string& part) {
  const auto it = up_.find(part);
  if (it == up_.end()) return;
  it->second->process->Signal(SIGKILL);
  it->second->process->Wait();
  up_.erase(it);
}

void Cluster::Raise(const std::string& part) {
  if (!up_.contains(part)) SWAGE_CHECK(Spawn(part).ok(), part);
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
    const auto it = up_.find(*name);
    if (it == up_.end()) continue;
    it->second->process->Signal(SIGTERM);
    const int code = it->second->process->Wait();
    up_.erase(it);
    if (code != 0 && status.ok()) status = Internal(Cat(*name, " ended with ", code, " after SIGTERM; see ", log(*name)));
  }
  return status;
}

}  // namespace swage::chaos
