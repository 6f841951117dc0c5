#include "tests/conformance/redis_server.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/text.h"

namespace swage {
namespace {

constexpr char kBinary[] = "redis-server";

}  // namespace

RedisServer::RedisServer(Options options) : options_(std::move(options)) { Start(); }

RedisServer::~RedisServer() {
  if (pid_ > 0) Kill();
}

std::vector<std::string> RedisServer::Arguments() {
  if (options_.sentinel) {
    // Sentinel rewrites its file: it is written at the first start only.
    const std::string path = dir_.path() + "/sentinel.conf";
    std::string text = Cat("port ", options_.port, "\nbind 127.0.0.1\ndir ", dir_.path(), "\n");
    for (const std::string& line : options_.settings) text += line + "\n";
    if (!Env::Posix()->Exists(path)) {
      SWAGE_CHECK(WriteFileAtomic(Env::Posix(), path, text).ok(), path);
    }
    return {kBinary, path, "--sentinel"};
  }
  std::vector<std::string> arguments = {kBinary,      "--port",       Cat(options_.port),
                                        "--bind",     "127.0.0.1",    "--unixsocket",
                                        socket(),     "--dir",        dir_.path(),
                                        "--save",     "",             "--appendonly",
                                        "yes",        "--appendfsync", "everysec"};
  arguments.insert(arguments.end(), options_.settings.begin(), options_.settings.end());
  return arguments;
}

void RedisServer::Start() {
  const std::vector<std::string> arguments = Arguments();
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  int log[2];
  SWAGE_CHECK(pipe2(log, O_CLOEXEC) == 0, strerror(errno));
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log[1], STDOUT_FILENO);
    execvp(kBinary, argv.data());
    _exit(127);
  }
  close(log[1]);
  // Its log tells when it is ready; later lines nobody reads, which it does not mind.
  std::string text;
  char buffer[4096];
  const char* const ready = options_.sentinel ? "+monitor" : "eady to accept connections";  // "Ready" with a port
  while (text.find(ready) == std::string::npos) {
    const ssize_t n = read(log[0], buffer, sizeof buffer);
    SWAGE_CHECK(n > 0, "redis-server does not start:\n", text);
    text.append(buffer, static_cast<size_t>(n));
  }
  close(log[0]);
}

void RedisServer::Kill() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void RedisServer::Suspend() {
  kill(pid_, SIGSTOP);
  int status = 0;
  waitpid(pid_, &status, WUNTRACED);
}

void RedisServer::Continue() { kill(pid_, SIGCONT); }

std::string RedisServer::uri(const std::string& parameters) const {
  return Cat("redis+unix://", socket(), parameters.empty() ? "" : "?", parameters);
}

}  // namespace swage
