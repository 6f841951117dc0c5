#include "tests/chaos/platform.h"

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/env.h"
#include "tests/tools/free_port.h"

namespace swage::chaos {
namespace {

// Waits until `done` says so; there is no event to wait for when the thing waited for is another process's answer.
bool AwaitTrue(int timeout_ms, const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  std::mutex mutex;
  std::condition_variable never;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::unique_lock lock(mutex);
    never.wait_for(lock, std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace

const char* TargetName(Target target) {
  switch (target) {
    case Target::kChild: return "child";
    case Target::kUp: return "up";
    case Target::kWorker: return "worker";
    case Target::kStore: return "store";
    case Target::kScheduler: return "scheduler";
    case Target::kControl: return "control";
    case Target::kSecondWorker: return "worker2";
  }
  return "";
}

Platform::Platform(const PlatformOptions& options, bool split) : options_(options), split_(split) {}

Platform::~Platform() {
  // Workers first, so that no child outlives its daemon for longer than the end of its pipe takes to arrive.
  processes_.erase(Target::kUp);
  processes_.erase(Target::kWorker);
  processes_.erase(Target::kSecondWorker);
}

std::string Platform::ErrorFile(const char* name) const { return JoinPath(options_.data_dir, Cat(name, ".stderr")); }

std::vector<std::string> Platform::Command(Target target) const {
  const auto bin = [&](const char* name) { return JoinPath(options_.bin_dir, name); };
  const auto address = [&](Target t) { return Cat("127.0.0.1:", ports_.at(t)); };
  const std::string& data = options_.data_dir;
  const std::string state = JoinPath(data, "state.sqlite");
  switch (target) {
    case Target::kUp:
      return {bin("swage"), "up", "--data", data, "--lease-ms", std::to_string(options_.lease_ms)};
    case Target::kStore:
      return {bin("swage-store"), "--data", JoinPath(data, "store"), "--listen", address(Target::kStore)};
    case Target::kScheduler:
      return {bin("swage-scheduler"), "--state", state, "--store", address(Target::kStore), "--listen",
              address(Target::kScheduler), "--lease-ms", std::to_string(options_.lease_ms)};
    case Target::kControl:
      return {bin("swage-control"), "--state", state, "--store", address(Target::kStore), "--scheduler",
              address(Target::kScheduler), "--listen", address(Target::kControl)};
    case Target::kWorker:
    case Target::kSecondWorker:
      return {bin("swage-worker"), "--data", JoinPath(data, TargetName(target)), "--scheduler", address(Target::kScheduler),
              "--store", address(Target::kStore)};
    case Target::kChild:
      break;
  }
  return {};
}

Status Platform::Start(Target target) {
  std::map<std::string, std::string> environment;
  if (!options_.hold.empty()) environment["SWAGE_HOLD"] = options_.hold;
  SWAGE_ASSIGN_OR_RETURN(processes_[target],
                         Process::Spawn(Command(target), environment, ErrorFile(TargetName(target)), nullptr));
  return absl::OkStatus();
}

StatusOr<std::unique_ptr<Platform>> Platform::StartEmbedded(const PlatformOptions& options) {
  std::unique_ptr<Platform> platform(new Platform(options, false));
  SWAGE_RETURN_IF_ERROR(platform->Start(Target::kUp));
  SWAGE_RETURN_IF_ERROR(platform->AwaitReady());
  return platform;
}

StatusOr<std::unique_ptr<Platform>> Platform::StartSplit(const PlatformOptions& options) {
  std::unique_ptr<Platform> platform(new Platform(options, true));
  const Target all[] = {Target::kStore, Target::kScheduler, Target::kControl, Target::kWorker};
  for (const Target target : all) platform->ports_[target] = FreePort();
  for (const Target target : all) SWAGE_RETURN_IF_ERROR(platform->Start(target));
  SWAGE_RETURN_IF_ERROR(platform->AwaitReady());
  return platform;
}

Status Platform::AwaitReady() {
  Status last;
  const bool ready = AwaitTrue(30000, [&] {
    const auto jobs = Cli({"jobs"});
    const auto artifacts = Cli({"artifacts"});
    last = jobs.ok() ? artifacts.status() : jobs.status();
    return last.ok();
  });
  return ready ? absl::OkStatus() : Annotate(last, "the platform did not become ready within 30 s");
}

bool Platform::Kill(Target target) {
  if (target != Target::kChild) {
    const auto it = processes_.find(target);
    if (it == processes_.end() || !it->second->Running()) return false;
    it->second->Signal(SIGKILL);
    it->second->Wait();
    return true;
  }
  const pid_t daemon = processes_.at(split_ ? Target::kWorker : Target::kUp)->pid();
  const std::vector<pid_t> children = DescendantsWith(daemon, "__job");
  for (const pid_t pid : children) kill(pid, SIGKILL);
  return !children.empty();
}

Status Platform::Restart(Target target) { return target == Target::kChild ? absl::OkStatus() : Start(target); }

void Platform::Signal(Target target, int signal) { processes_.at(target)->Signal(signal); }

Status Platform::StopAll() {
  for (const Target target : {Target::kUp, Target::kWorker, Target::kSecondWorker, Target::kScheduler, Target::kControl,
                              Target::kStore}) {
    const auto it = processes_.find(target);
    if (it == processes_.end()) continue;
    it->second->Signal(SIGTERM);
    const int code = it->second->Wait();
    processes_.erase(it);
    if (code != 0) return Internal(Cat(TargetName(target), " ended with ", code, " after SIGTERM"));
  }
  return absl::OkStatus();
}

std::map<std::string, pid_t> Platform::Pids() const {
  std::map<std::string, pid_t> out;
  for (const auto& [target, process] : processes_) out[TargetName(target)] = process->pid();
  return out;
}

std::vector<std::string> Platform::CliCommand(const std::vector<std::string>& arguments) const {
  std::vector<std::string> command = {JoinPath(options_.bin_dir, "swage")};
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.insert(command.end(), {"--json", "--data", options_.data_dir});
  if (split_) command.insert(command.end(), {"--server", Cat("127.0.0.1:", ports_.at(Target::kControl))});
  return command;
}

StatusOr<std::string> Platform::Cli(const std::vector<std::string>& arguments) {
  SWAGE_ASSIGN_OR_RETURN(Finished finished, Run(CliCommand(arguments), ErrorFile("cli")));
  if (finished.exit_code != 0) {
    return Internal(Cat("swage ", Join(arguments, " "), " ended with ", finished.exit_code, ": ", finished.output));
  }
  return finished.output;
}

StatusOr<std::unique_ptr<Process>> Platform::Watch(const std::string& job,
                                                   std::function<void(const std::string&)> on_line) {
  return Process::Spawn(CliCommand({"watch", job}), {}, ErrorFile("watch"), std::move(on_line));
}

}  // namespace swage::chaos
