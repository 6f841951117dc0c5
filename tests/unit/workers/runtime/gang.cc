#include "tests/unit/workers/runtime/gang.h"

#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>

extern char** environ;

namespace swage {
namespace {

constexpr int kMemberSocket = 3;

std::string ReadLine(int fd, std::string* pending) {
  for (;;) {
    if (const size_t end = pending->find('\n'); end != std::string::npos) {
      const std::string line = pending->substr(0, end);
      pending->erase(0, end + 1);
      return line;
    }
    char bytes[4096];
    const ssize_t got = read(fd, bytes, sizeof bytes);
    if (got <= 0) return "";
    pending->append(bytes, static_cast<size_t>(got));
  }
}

void WriteLine(int fd, std::string line) {
  line += '\n';
  SWAGE_CHECK(send(fd, line.data(), line.size(), MSG_NOSIGNAL) >= 0 || errno == EPIPE, "a line to a member");
}

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

}  // namespace

void RunGang(int world, int64_t deadline_ms, const std::function<void(StatusOr<std::unique_ptr<Reducer>>)>& member,
             const Change& change) {
  signal(SIGPIPE, SIG_IGN);
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> said(static_cast<size_t>(world));
  int present = 0;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      const auto meet = [&](const std::string& mine) -> StatusOr<std::vector<std::string>> {
        std::unique_lock<std::mutex> lock(mutex);
        said[static_cast<size_t>(rank)] = mine;
        ++present;
        changed.notify_all();
        changed.wait(lock, [&] { return present == world; });
        std::vector<std::string> heard = said;
        if (change) change(rank, &heard);
        return heard;
      };
      ReducerOptions options;
      options.rank = rank;
      options.world = world;
      options.session = "test";
      options.deadline_ms = deadline_ms;
      member(ConnectReducer(options, meet));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

MemberProcess::MemberProcess(const std::vector<std::string>& environment) {
  int ends[2];
  SWAGE_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], kMemberSocket);
  std::vector<char*> env;
  for (char** at = environ; *at != nullptr; ++at) env.push_back(*at);
  for (const std::string& item : environment) env.push_back(const_cast<char*>(item.c_str()));
  env.push_back(nullptr);
  char program[] = "/proc/self/exe", filter[] = "--gtest_filter=GangMember.RunsWhenAsked", brief[] = "--gtest_brief=1";
  char* argv[] = {program, filter, brief, nullptr};
  SWAGE_CHECK(posix_spawn(&pid_, program, &actions, nullptr, argv, env.data()) == 0, "posix_spawn");
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  socket_ = ends[0];
}

MemberProcess::~MemberProcess() {
  close(socket_);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::string MemberProcess::Next() { return ReadLine(socket_, &pending_); }
void MemberProcess::Say(const std::string& line) { WriteLine(socket_, line); }
void MemberProcess::Signal(int number) { kill(pid_, number); }

void Introduce(const std::vector<std::unique_ptr<MemberProcess>>& members) {
  std::vector<std::string> said;
  for (const auto& member : members) said.push_back(member->Next());
  for (const auto& member : members) {
    for (const std::string& line : said) member->Say(line);
  }
}

StatusOr<std::unique_ptr<Reducer>> ConnectAsMember(int rank, int world, int64_t deadline_ms) {
  signal(SIGPIPE, SIG_IGN);
  ReducerOptions options;
  options.rank = rank;
  options.world = world;
  options.session = "processes";
  options.deadline_ms = deadline_ms;
  return ConnectReducer(options, [&](const std::string& mine) -> StatusOr<std::vector<std::string>> {
    SayAsMember(HexLower(mine.data(), mine.size()));
    std::vector<std::string> said;
    std::string pending;
    for (int r = 0; r < world; ++r) said.push_back(FromHex(ReadLine(kMemberSocket, &pending)));
    return said;
  });
}

void SayAsMember(const std::string& line) { WriteLine(kMemberSocket, line); }

}  // namespace swage
