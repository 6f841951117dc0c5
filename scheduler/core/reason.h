// Why an attempt ended, and what follows from it: one total table. A Reason without a row does not
// compile (-Werror=switch; no default). Words after reference/platform.md 1.8. Pure functions.
//
//   const ReasonPolicy policy = PolicyOf(ParseReason(outcome.reason));
//   if (policy.retryable && ...) requeue, charging policy.budget
#pragma once

#include <string_view>

#include "scheduler/core/records.h"

namespace swage {

enum class Reason {
  // Ours: the job did nothing wrong.
  kWorkerLost,       // the lease ended in silence
  kWorkerRestarted,  // the daemon came back with a new boot id; its children died with the old one
  kLeaseLost,        // the worker fenced itself
  kPreempted,
  kDrained,
  kChildKilled,    // by a signal from outside (SIGKILL, SIGTERM)
  kOomPrediction,  // needed more than was reserved for it: reserved anew with what was measured
  kStoreUnavailable,
  kStoreFull,
  kResultMissing,  // what was prepared is no longer in the store
  kRefused,        // the worker had less room than the ledger said
  kDeviceFailed,   // an error of the device itself: it is cordoned
  kGangTimeout,    // not all members were there in time
  kGangMemberLost,
  // The job's.
  kChildCrashed,  // by its own hand (SIGSEGV, SIGABRT, ...)
  kOomReal,       // more than any worker could give, or more than the machine had
  kInputMissing,
  kInputCorrupt,
  kInvalidSpec,
  kMethodDiverged,
  kDeadlineExceeded,
  kPublishRefused,  // the store refuses the result for good (for example its alias)
  kQuarantined,     // workers died under it again and again, at the same point
  kDependencyFailed,
  // Somebody's wish.
  kCancelledByUser,
  kCancelledByAdmin,
  kPausedByUser,
  kInternal,  // anything not named above; stays last
};
inline constexpr Reason kLastReason = Reason::kInternal;

enum class Budget { kNone, kUser, kInfra };

struct ReasonPolicy {
  std::string_view name;  // UPPER_SNAKE, stable
  JobState final_state;   // when it is not, or no longer, retried
  bool retryable;
  Budget budget;          // charged per attempt that ends so
  std::string_view text;  // for people: what happened, what to do
};

ReasonPolicy PolicyOf(Reason reason);
std::string_view ReasonName(Reason reason);
Reason ParseReason(std::string_view name);  // unknown: kInternal

}  // namespace swage
