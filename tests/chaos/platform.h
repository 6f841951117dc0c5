// A running Swage of real processes, whose parts a test kills and starts again.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "tests/chaos/process.h"

namespace swage::chaos {

// What can be killed. kChild is the process that runs the job; kUp exists in the embedded platform only, the four
// daemons in the split one only; a second worker runs once it was Restart()ed.
enum class Target { kChild, kUp, kWorker, kStore, kScheduler, kControl, kSecondWorker };
const char* TargetName(Target target);

struct PlatformOptions {
  std::string bin_dir;    // of swage, swage-control, ...
  std::string data_dir;
  int lease_ms = 1000;
  std::string hold;       // SWAGE_HOLD of every process
};

class Platform {
 public:
  static StatusOr<std::unique_ptr<Platform>> StartEmbedded(const PlatformOptions& options);
  static StatusOr<std::unique_ptr<Platform>> StartSplit(const PlatformOptions& options);  // four daemons over TCP
  ~Platform();

  // SIGKILL, at once. A child is not started again by us: that is the worker's business. False when there is no such
  // process at this moment (no child runs).
  bool Kill(Target target);
  Status Restart(Target target);
  void Signal(Target target, int signal);
  Status StopAll();  // SIGTERM; an exit code other than 0 is an error

  std::map<std::string, pid_t> Pids() const;  // by target name

  // `swage <arguments> --json` against this platform: its output, or an error with what it printed.
  StatusOr<std::string> Cli(const std::vector<std::string>& arguments);
  // `swage watch JOB --json`, to be destroyed when it is no longer needed.
  StatusOr<std::unique_ptr<Process>> Watch(const std::string& job, std::function<void(const std::string&)> on_line);

 private:
  explicit Platform(const PlatformOptions& options, bool split);
  std::vector<std::string> Command(Target target) const;
  std::vector<std::string> CliCommand(const std::vector<std::string>& arguments) const;
  Status Start(Target target);
  Status AwaitReady();
  std::string ErrorFile(const char* name) const;

  PlatformOptions options_;
  bool split_;
  std::map<Target, int> ports_;
  std::map<Target, std::unique_ptr<Process>> processes_;
};

}  // namespace swage::chaos
