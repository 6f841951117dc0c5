// Child processes of a test: spawned, watched line by line, killed. Each gets its own process group, and dies with the
// test (PR_SET_PDEATHSIG), so that a failed run leaves nothing behind.
#pragma once

#include <signal.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"

namespace swage::chaos {

class Process {
 public:
  // `on_line` gets each line of its standard output, from a thread of its own. Standard error goes to `stderr_path`
  // (appended), or nowhere when "".
  static StatusOr<std::unique_ptr<Process>> Spawn(const std::vector<std::string>& argv,
                                                  const std::map<std::string, std::string>& extra_environment,
                                                  const std::string& stderr_path,
                                                  std::function<void(const std::string&)> on_line);
  ~Process();  // kill -9 and wait
  pid_t pid() const { return pid_; }
  void Signal(int signal);
  int Wait();  // exit code, or 128 + signal; once
  bool Running();

 private:
  Process() = default;
  pid_t pid_ = -1;
  int exit_code_ = -1;
  bool waited_ = false;
  std::thread reader_;
};

struct Finished {
  int exit_code = 0;
  std::string output;
};
// Runs to the end and returns what it printed.
StatusOr<Finished> Run(const std::vector<std::string>& argv, const std::string& stderr_path);

// Process ids of the descendants of `parent` whose command line contains `word`.
std::vector<pid_t> DescendantsWith(pid_t parent, const std::string& word);

}  // namespace swage::chaos
