// A child process that speaks lines over fd 3. Spawned, never forked: this process runs gRPC's threads. The child gets
// its own process group (a Ctrl-C at the terminal is the daemon's to handle), an empty signal mask and no other
// descriptor of ours. For one thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"

namespace swage {

class ChildProcess {
 public:
  static StatusOr<ChildProcess> Spawn(const std::string& executable, const std::vector<std::string>& arguments);
  ChildProcess(ChildProcess&& other) noexcept;
  ~ChildProcess();  // kills and reaps

  enum class Event { kLine, kEnd, kWake, kTimeout };
  // Waits for a line (without its newline), for the child to close its end, for `wake_fd` (-1: none) to become readable,
  // or for the time (-1: no limit). A line beyond 1 MiB counts as the end.
  Event Wait(int wake_fd, int timeout_ms, std::string* line);
  Status Send(const std::string& line);  // adds the newline
  void Kill();
  int Reap();  // wait status, as of waitpid
  pid_t pid() const { return pid_; }

 private:
  ChildProcess(pid_t pid, int fd) : pid_(pid), fd_(fd) {}
  bool TakeLine(std::string* line);

  pid_t pid_ = -1;
  int fd_ = -1;
  std::string buffer_;
};

}  // namespace swage
