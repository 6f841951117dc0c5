// Children are /bin/sh, speaking over fd 3.
#include "workers/daemon/child_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "workers/daemon/failure.h"

namespace swage {
namespace {

using Event = ChildProcess::Event;
constexpr int kLong = 20000;

StatusOr<ChildProcess> Shell(const std::string& script) { return ChildProcess::Spawn("/bin/sh", {"-c", script}); }

TEST(ChildProcess, LinesGoBothWaysAndTheEndIsSeen) {
  auto child = Shell("read -r line <&3; printf 'got %s\\nand more\\n' \"$line\" >&3; exit 5");
  ASSERT_TRUE(child.ok()) << child.status();
  ASSERT_TRUE(child->Send("hello").ok());
  std::string line;
  ASSERT_EQ(child->Wait(-1, kLong, &line), Event::kLine);
  EXPECT_EQ(line, "got hello");
  ASSERT_EQ(child->Wait(-1, kLong, &line), Event::kLine);
  EXPECT_EQ(line, "and more");
  EXPECT_EQ(child->Wait(-1, kLong, &line), Event::kEnd);
  EXPECT_EQ(WEXITSTATUS(child->Reap()), 5);
}

TEST(ChildProcess, GetsNoDescriptorButItsOwnAndNoBlockedSignals) {
  sigset_t block, old;
  sigemptyset(&block);
  sigaddset(&block, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &block, &old);
  // Opened without close-on-exec, as a library may do.
  const int leak = ::eventfd(0, 0);
  auto child = Shell("ls /proc/self/fd | tr '\\n' ' ' >&3; echo >&3; grep SigBlk /proc/self/status >&3");
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  ASSERT_TRUE(child.ok());
  std::string fds, mask;
  ASSERT_EQ(child->Wait(-1, kLong, &fds), Event::kLine);
  ASSERT_EQ(child->Wait(-1, kLong, &mask), Event::kLine);
  EXPECT_EQ(fds.substr(0, 8), "0 1 2 3 ");
  EXPECT_EQ(fds.find(Cat(" ", leak, " "), 7 + 2), std::string::npos) << fds;  // ls itself has the next one open
  EXPECT_NE(mask.find("0000000000000000"), std::string::npos) << mask;
  ::close(leak);
}

TEST(ChildProcess, AWakeUpAndATimeOutAreToldApart) {
  auto child = Shell("read -r line <&3");
  ASSERT_TRUE(child.ok());
  std::string line;
  EXPECT_EQ(child->Wait(-1, 1, &line), Event::kTimeout);
  const int wake = ::eventfd(1, 0);
  EXPECT_EQ(child->Wait(wake, kLong, &line), Event::kWake);
  ::close(wake);
  child->Kill();
  EXPECT_EQ(OutcomeOfChildEnd(child->Reap()).reason, "CHILD_KILLED");
}

TEST(ChildProcess, ALineWithoutEndIsNotSwallowedForEver) {
  auto child = Shell("yes | tr -d '\\n' >&3");
  ASSERT_TRUE(child.ok());
  std::string line;
  EXPECT_EQ(child->Wait(-1, kLong, &line), Event::kEnd);
}

TEST(ChildProcess, AMissingProgramIsAnError) {
  auto child = ChildProcess::Spawn("/no/such/program", {});
  EXPECT_EQ(child.status().code(), StatusCode::kNotFound);
}

TEST(Failure, EndsOfChildrenAreToldApart) {
  const auto end_of = [](const std::string& script) {
    auto child = Shell(script);
    std::string line;
    while (child->Wait(-1, kLong, &line) != Event::kEnd) {
    }
    return OutcomeOfChildEnd(child->Reap()).reason;
  };
  EXPECT_EQ(end_of("kill -KILL $$"), "CHILD_KILLED");
  EXPECT_EQ(end_of("kill -SEGV $$"), "CHILD_CRASHED");
  EXPECT_EQ(end_of("exit 3"), "CHILD_KILLED");
  EXPECT_EQ(end_of("exit 1"), "CHILD_CRASHED");
}

TEST(Failure, ReasonsOfTheEngineBecomeTheSchedulersAndStayReadable) {
  const auto nan = OutcomeOf(InvalidInput("NAN_WEIGHTS", "q_proj has NaN", "repair it"), FailedIn::kEngine);
  EXPECT_EQ(nan.reason, "INVALID_SPEC");
  EXPECT_EQ(nan.message, "NAN_WEIGHTS: q_proj has NaN; repair it");
  EXPECT_EQ(OutcomeOf(Error(StatusCode::kResourceExhausted, "OOM_REAL", "x"), FailedIn::kEngine).reason, "OOM_REAL");
  EXPECT_EQ(OutcomeOf(Error(StatusCode::kResourceExhausted, "DISK_FULL", "x"), FailedIn::kEngine).reason, "STORE_FULL");
  EXPECT_EQ(OutcomeOf(Unavailable("UNREACHABLE", "x"), FailedIn::kStaging).reason, "STORE_UNAVAILABLE");
  EXPECT_EQ(OutcomeOf(NotFound("OBJECT_MISSING", "x"), FailedIn::kStaging).reason, "INPUT_MISSING");
  EXPECT_EQ(OutcomeOf(Error(StatusCode::kInternal, "DEVICE_FAILED", "x"), FailedIn::kEngine).reason, "DEVICE_FAILED");
  EXPECT_EQ(OutcomeOf(Error(StatusCode::kCancelled, "STOPPED", "x"), FailedIn::kEngine).reason, "CHILD_KILLED");
}

}  // namespace
}  // namespace swage
