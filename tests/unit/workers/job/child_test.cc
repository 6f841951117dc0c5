// The child process itself: this test's binary runs as the child when it is called with "__job".
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/unit/workers/job/engine_fixture.h"
#include "workers/job/child.h"

extern char** environ;

namespace swage {
namespace {

class Child {
 public:
  explicit Child(const std::vector<std::string>& environment = {}) {
    int ends[2];
    SWAGE_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 3);
    std::vector<char*> env;
    for (char** at = environ; *at != nullptr; ++at) env.push_back(*at);
    for (const std::string& item : environment) env.push_back(const_cast<char*>(item.c_str()));
    env.push_back(nullptr);
    char program[] = "/proc/self/exe", word[] = "__job";
    char* argv[] = {program, word, nullptr};
    SWAGE_CHECK(posix_spawn(&pid_, program, &actions, nullptr, argv, env.data()) == 0,
                "posix_spawn");
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    socket_ = ends[0];
  }
  ~Child() {
    Hang();
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  void Send(const std::string& line) {
    const std::string text = line + "\n";
    ASSERT_EQ(write(socket_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  StatusOr<ChildMessage> Next() {
    for (;;) {
      const size_t newline = pending_.find('\n');
      if (newline != std::string::npos) {
        const std::string line = pending_.substr(0, newline);
        pending_.erase(0, newline + 1);
        return DecodeMessage(line);
      }
      char buffer[4096];
      const ssize_t got = read(socket_, buffer, sizeof buffer);
      if (got <= 0) return Unavailable("CHILD_GONE", "end of stream");
      pending_.append(buffer, static_cast<size_t>(got));
    }
  }
  void Signal(int number) { kill(pid_, number); }
  void Hang() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  int socket_ = -1;
  std::string pending_;
};

using ChildTest = EngineFixture;

TEST_F(ChildTest, RunsAJobReportsItsStagesAndLeavesATrace) {
  EngineRequest request = Request(Cat(kInt4, kEvaluate));
  request.trace_parent = SpanContext::NewTrace();
  const std::string trace = JoinPath(dir_.path(), "trace.jsonl");
  Child child;
  child.Send(EncodeRun(request, trace, "jobs/a", 1));
  std::vector<std::string> stages;
  for (;;) {
    auto message = child.Next();
    ASSERT_TRUE(message.ok()) << message.status();
    if (message->kind == ChildMessage::Kind::kProgress) {
      if (stages.empty() || stages.back() != message->progress.stage)
        stages.push_back(message->progress.stage);
      continue;
    }
    ASSERT_EQ(message->kind, ChildMessage::Kind::kDone) << message->failure;
    EXPECT_EQ(message->report_bytes,
              *Env::Posix()->FileSize(JoinPath(request.out_dir, "report.json")));
    break;
  }
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(stages.front(), "load");
  EXPECT_EQ(stages.back(), "encode");
  const std::string spans = *ReadFile(Env::Posix(), trace, 1 << 20);
  EXPECT_NE(spans.find(request.trace_parent.trace_id), std::string::npos);
  EXPECT_NE(spans.find("block[5]"), std::string::npos);
}

// Two processes, and this test in the place of their workers and the scheduler between them.
class GangChildTest : public EngineFixture {
 protected:
  void StartBoth() {
    for (int rank = 0; rank < 2; ++rank) {
      EngineRequest request = Request(kInt4);
      request.rank = rank;
      request.world = 2;
      request.out_dir += Cat("-", rank);
      request.scratch_dir += Cat("-", rank);
      members_[rank].Send(EncodeRun(request, "", "jobs/gang", 1));
    }
  }
  StatusOr<ChildMessage> NextBut(ChildMessage::Kind kind, int rank) {
    for (;;) {
      auto message = members_[rank].Next();
      if (!message.ok() || message->kind != kind) return message;
    }
  }
  std::vector<std::string> Introductions() {
    std::vector<std::string> said;
    for (int rank = 0; rank < 2; ++rank) {
      const auto message = NextBut(ChildMessage::Kind::kProgress, rank);
      EXPECT_TRUE(message.ok() && message->kind == ChildMessage::Kind::kRendezvous);
      said.push_back(message.ok() ? message->rendezvous : "");
    }
    return said;
  }
  Child members_[2];
};

TEST_F(GangChildTest, TwoProcessesMeetThroughTheirWorkersAndFinish) {
  if (EngineFeatures().empty()) GTEST_SKIP() << "built without Gloo";
  StartBoth();
  const auto said = Introductions();
  for (Child& member : members_) member.Send(EncodeGathered(said));
  for (int rank = 0; rank < 2; ++rank) {
    const auto message = NextBut(ChildMessage::Kind::kProgress, rank);
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(message->kind, ChildMessage::Kind::kDone) << message->failure;
    EXPECT_EQ(members_[rank].Wait(), 0);
  }
}

TEST_F(GangChildTest, OneThatWaitsForTheOthersCanBeStopped) {
  if (EngineFeatures().empty()) GTEST_SKIP() << "built without Gloo";
  StartBoth();
  Introductions();
  members_[0].Send(R"({"cancel":true})");
  const auto message = NextBut(ChildMessage::Kind::kProgress, 0);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(ReasonOf(message->failure), "CANCELLED");
}

TEST_F(ChildTest, AFailureCarriesReasonAndNextStep) {
  EngineRequest request = Request(Cat(kInt4, kEvaluate));
  request.texts.clear();
  Child child;
  child.Send(EncodeRun(request, "", "jobs/a", 1));
  StatusOr<ChildMessage> message = child.Next();
  while (message.ok() && message->kind == ChildMessage::Kind::kProgress) message = child.Next();
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->kind, ChildMessage::Kind::kFailed);
  EXPECT_EQ(ReasonOf(message->failure), "TEXT_MISSING");
  EXPECT_FALSE(NextStepOf(message->failure).empty());
  EXPECT_EQ(child.Wait(), 1);
}

TEST_F(ChildTest, ALineThatIsNoRunFails) {
  Child child;
  child.Send("{\"walk\": 1}");
  auto message = child.Next();
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(ReasonOf(message->failure), "CHILD_PROTOCOL");
  EXPECT_EQ(child.Wait(), 1);
}

// Also while it lingers in a stage, or waits for the lock of an earlier child.
TEST_F(ChildTest, TheEndOfTheDaemonEndsTheChild) {
  const EngineRequest request = Request(kInt4);
  Child child({"SWAGE_HOLD=block[1]:600000"});
  child.Send(EncodeRun(request, "", "jobs/a", 1));
  for (auto message = child.Next(); message.ok() && message->progress.stage != "block[1]";)
    message = child.Next();
  child.Hang();
  EXPECT_EQ(child.Wait(), 3);
  EXPECT_FALSE(Env::Posix()->Exists(request.out_dir));

  auto lock = Env::Posix()->Lock(JoinPath(request.scratch_dir, "lock"), false);
  ASSERT_TRUE(lock.ok()) << "the dead child still holds its lock";
  Child waiting;
  waiting.Send(EncodeRun(request, "", "jobs/a", 2));
  waiting.Hang();
  EXPECT_EQ(waiting.Wait(), 3);
}

TEST_F(ChildTest, ACancelledJobSaysSo) {
  const EngineRequest request = Request(kInt4);
  Child child({"SWAGE_HOLD=block[0]:300"});
  child.Send(EncodeRun(request, "", "jobs/a", 1));
  auto message = child.Next();
  while (message.ok() && message->progress.stage != "block[0]") message = child.Next();
  child.Send("{\"cancel\": true}");
  while (message.ok() && message->kind == ChildMessage::Kind::kProgress) message = child.Next();
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->failure.code(), StatusCode::kCancelled);
  EXPECT_EQ(child.Wait(), 1);
}

TEST_F(ChildTest, AStopEndsItBetweenBlocksByALineOrBySigterm) {
  for (const bool by_signal : {false, true}) {
    SCOPED_TRACE(by_signal);
    const EngineRequest request = Request(kInt4, Cat("out", by_signal));
    Child child({"SWAGE_HOLD=block[2]:300"});
    child.Send(EncodeRun(request, "", "jobs/a", 1));
    auto message = child.Next();
    while (message.ok() && message->progress.stage != "block[1]") message = child.Next();
    by_signal ? child.Signal(SIGTERM) : child.Send("{\"stop\": true}");
    while (message.ok() && message->kind == ChildMessage::Kind::kProgress) message = child.Next();
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(ReasonOf(message->failure), "STOPPED") << message->failure;
    EXPECT_EQ(child.Wait(), 1);
    EXPECT_TRUE(Env::Posix()->Exists(JoinPath(request.scratch_dir, "block-0.safetensors")));
    EXPECT_FALSE(Env::Posix()->Exists(JoinPath(request.scratch_dir, "block-2.safetensors")));
  }
}

TEST_F(ChildTest, CheckpointsStayWhereTheCallerWantsThem) {
  EngineRequest request = Request(kInt4);
  request.keep_checkpoint = true;
  Child child;
  child.Send(EncodeRun(request, "", "jobs/a", 1));
  auto message = child.Next();
  while (message.ok() && message->kind == ChildMessage::Kind::kProgress) message = child.Next();
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_TRUE(Env::Posix()->Exists(JoinPath(request.scratch_dir, "state.json")));
}

TEST_F(ChildTest, ANextAttemptContinuesAfterAKill) {
  const EngineRequest request = Request(kInt4);
  {
    Child child({"SWAGE_HOLD=block[4]:600000"});
    child.Send(EncodeRun(request, "", "jobs/a", 1));
    for (auto message = child.Next(); message.ok() && message->progress.stage != "block[4]";)
      message = child.Next();
    // The block before is written while this one is computed: it counts once its write has ended.
    const std::string state = JoinPath(request.scratch_dir, "state.json");
    for (StatusOr<std::string> text = std::string();
         !text.ok() || text->find("\"block[3]\"") == std::string::npos;) {
      std::this_thread::yield();
      text = ReadFile(Env::Posix(), state, 1 << 20);
    }
  }  // killed
  Child child;
  child.Send(EncodeRun(request, "", "jobs/a", 2));
  std::vector<std::string> stages;
  auto message = child.Next();
  for (; message.ok() && message->kind == ChildMessage::Kind::kProgress; message = child.Next()) {
    if (stages.empty() || stages.back() != message->progress.stage)
      stages.push_back(message->progress.stage);
  }
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->kind, ChildMessage::Kind::kDone) << message->failure;
  EXPECT_EQ(stages, (std::vector<std::string>{"load", "block[4]", "block[5]", "encode"}));
  EXPECT_EQ(child.Wait(), 0);
}

}  // namespace
}  // namespace swage

int main(int argc, char** argv) {
  if (const auto code = swage::RunAsChild(argc, argv)) return *code;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
