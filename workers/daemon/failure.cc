#include "workers/daemon/failure.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>

namespace swage {
namespace {

// Said by the engine in the scheduler's own words.
constexpr std::array<std::string_view, 8> kSchedulersWords = {
    "OOM_PREDICTION", "OOM_REAL", "INPUT_MISSING", "INPUT_CORRUPT", "INVALID_SPEC", "METHOD_DIVERGED", "DEADLINE_EXCEEDED",
    "DEVICE_FAILED"};

std::string_view ReasonFor(const Status& status, FailedIn where) {
  const std::string reason = ReasonOf(status);
  const auto known = std::find(kSchedulersWords.begin(), kSchedulersWords.end(), reason);
  if (known != kSchedulersWords.end()) return *known;
  if (reason == "DISK_FULL") return "STORE_FULL";
  // What a member sees of another one's end: of the gang's members the first to fail says why.
  if (reason == "PEER_LOST" || reason == "COLLECTIVE_TIMEOUT" || reason == "RENDEZVOUS_MISMATCH") return "GANG_MEMBER_LOST";
  if (reason == "STOPPED") return "CHILD_KILLED";  // by a SIGTERM that was not ours
  switch (status.code()) {
    case StatusCode::kNotFound:
      return where == FailedIn::kUpload ? "INTERNAL" : "INPUT_MISSING";
    case StatusCode::kDataLoss:
      return where == FailedIn::kUpload ? "INTERNAL" : "INPUT_CORRUPT";
    case StatusCode::kInvalidArgument:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kOutOfRange:
    case StatusCode::kUnimplemented:
      return where == FailedIn::kEngine ? "INVALID_SPEC" : where == FailedIn::kStaging ? "INPUT_CORRUPT" : "INTERNAL";
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kCancelled:
      return where == FailedIn::kEngine ? "INTERNAL" : "STORE_UNAVAILABLE";
    case StatusCode::kResourceExhausted:
      return where == FailedIn::kEngine ? "OOM_REAL" : "STORE_FULL";
    default:
      return "INTERNAL";
  }
}

}  // namespace

SlotOutcome OutcomeOf(const Status& status, FailedIn where) {
  SlotOutcome outcome;
  outcome.reason = ReasonFor(status, where);
  const std::string reason = ReasonOf(status), next = NextStepOf(status);
  if (!reason.empty() && reason != outcome.reason) outcome.message = Cat(reason, ": ");
  outcome.message += MessageOf(status);
  if (!next.empty()) outcome.message += Cat("; ", next);
  return outcome;
}

SlotOutcome OutcomeOfChildEnd(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal_number = WTERMSIG(wait_status);
    const bool outside = signal_number == SIGKILL || signal_number == SIGTERM || signal_number == SIGINT ||
                         signal_number == SIGHUP;
    return {"", outside ? "CHILD_KILLED" : "CHILD_CRASHED",
            Cat("the job's process ended by signal ", signal_number, " (", ::strsignal(signal_number), ")")};
  }
  // 3: it saw its socket close, which only happens when something came between it and us.
  const int code = WEXITSTATUS(wait_status);
  return {"", code == 3 ? "CHILD_KILLED" : "CHILD_CRASHED", Cat("the job's process exited with ", code, " and no result")};
}

}  // namespace swage
