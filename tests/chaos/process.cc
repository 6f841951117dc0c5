#include "tests/chaos/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

extern char** environ;

namespace swage::chaos {
namespace {

std::vector<std::string> Environment(const std::map<std::string, std::string>& extra) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (extra.count(text.substr(0, text.find('='))) == 0) out.push_back(text);
  }
  for (const auto& [name, value] : extra) out.push_back(Cat(name, "=", value));
  return out;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

void ReadLines(int fd, const std::function<void(const std::string&)>& on_line) {
  std::string pending;
  char buffer[4096];
  for (;;) {
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    pending.append(buffer, static_cast<size_t>(n));
    for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      if (on_line) on_line(pending.substr(0, end));
    }
  }
  if (on_line && !pending.empty()) on_line(pending);
  close(fd);
}

std::string ReadProc(pid_t pid, const char* name) {  // "" when the process is gone
  std::ifstream file(Cat("/proc/", pid, "/", name), std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

pid_t ParentOf(pid_t pid) {
  const std::string stat = ReadProc(pid, "stat");
  const size_t close_paren = stat.rfind(')');
  int parent = -1;
  char state = 0;
  if (close_paren == std::string::npos || std::sscanf(stat.c_str() + close_paren + 1, " %c %d", &state, &parent) != 2) {
    return -1;
  }
  return parent;
}

}  // namespace

StatusOr<std::unique_ptr<Process>> Process::Spawn(const std::vector<std::string>& argv,
                                                  const std::map<std::string, std::string>& extra_environment,
                                                  const std::string& stderr_path,
                                                  std::function<void(const std::string&)> on_line) {
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return PosixError(errno, "pipe");
  std::vector<std::string> arguments = argv, environment = Environment(extra_environment);
  std::vector<char*> argument_pointers = Pointers(arguments), environment_pointers = Pointers(environment);
  const std::string errors = stderr_path.empty() ? "/dev/null" : stderr_path;
  const pid_t tester = getpid();
  const pid_t pid = fork();
  if (pid < 0) return PosixError(errno, "fork");
  if (pid == 0) {  // only async-signal-safe calls from here on
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != tester) _exit(127);
    setpgid(0, 0);
    const int errors_fd = open(errors.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(out[1], STDOUT_FILENO);
    if (errors_fd >= 0) dup2(errors_fd, STDERR_FILENO);
    execve(argument_pointers[0], argument_pointers.data(), environment_pointers.data());
    _exit(127);
  }
  close(out[1]);
  std::unique_ptr<Process> process(new Process());
  process->pid_ = pid;
  process->reader_ = std::thread(ReadLines, out[0], std::move(on_line));
  return process;
}

Process::~Process() {
  if (!waited_) {
    Signal(SIGCONT);
    Signal(SIGKILL);
    Wait();
  }
}

void Process::Signal(int signal) {
  if (!waited_) kill(pid_, signal);
}

int Process::Wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  waited_ = true;
  if (reader_.joinable()) reader_.join();
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_code_;
}

bool Process::Running() {
  siginfo_t info = {};
  return !waited_ && waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

StatusOr<Finished> Run(const std::vector<std::string>& argv, const std::string& stderr_path) {
  Finished finished;
  SWAGE_ASSIGN_OR_RETURN(auto process, Process::Spawn(argv, {}, stderr_path, [&](const std::string& line) {
    finished.output += line + "\n";
  }));
  finished.exit_code = process->Wait();
  return finished;
}

std::vector<pid_t> DescendantsWith(pid_t parent, const std::string& word) {
  std::vector<pid_t> out;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = static_cast<pid_t>(std::atoi(entry.path().filename().c_str()));
    if (pid <= 0) continue;
    pid_t ancestor = ParentOf(pid);
    while (ancestor > 1 && ancestor != parent) ancestor = ParentOf(ancestor);
    if (ancestor != parent) continue;
    if (ReadProc(pid, "cmdline").find(word) != std::string::npos) out.push_back(pid);
  }
  return out;
}

}  // namespace swage::chaos
