#include "scheduler/core/reason.h"

namespace swage {

ReasonPolicy PolicyOf(Reason reason) {
  constexpr JobState kFailed = JobState::kFailed, kCancelled = JobState::kCancelled;
  switch (reason) {
    case Reason::kWorkerLost:
      return {"WORKER_LOST", kFailed, true, Budget::kInfra,
              "the worker was silent for longer than its lease; the job runs again elsewhere"};
    case Reason::kWorkerRestarted:
      return {"WORKER_RESTARTED", kFailed, true, Budget::kInfra,
              "the worker started anew and lost what it ran; the job runs again"};
    case Reason::kLeaseLost:
      return {"LEASE_LOST", kFailed, true, Budget::kInfra,
              "the worker could not renew its lease and stopped the job; it runs again"};
    case Reason::kPreempted:
      return {"PREEMPTED", kFailed, true, Budget::kNone,
              "a more urgent job took the place; this one runs again"};
    case Reason::kDrained:
      return {"DRAINED", kFailed, true, Budget::kNone,
              "the worker is being emptied; the job runs again elsewhere"};
    case Reason::kChildKilled:
      return {"CHILD_KILLED", kFailed, true, Budget::kInfra,
              "the job's process was killed from outside; the job runs again"};
    case Reason::kOomPrediction:
      return {
          "OOM_PREDICTION", kFailed, true, Budget::kInfra,
          "the job needed more memory than was reserved; it runs again with a larger reservation"};
    case Reason::kStoreUnavailable:
      return {"STORE_UNAVAILABLE", kFailed, true, Budget::kInfra,
              "the store did not answer; the job runs again. Check swage-store"};
    case Reason::kStoreFull:
      return {"STORE_FULL", kFailed, true, Budget::kInfra,
              "there is no room for the result; delete artifacts or enlarge the store's disk"};
    case Reason::kResultMissing:
      return {"RESULT_MISSING", kFailed, true, Budget::kInfra,
              "the prepared result is no longer in the store; the job runs again"};
    case Reason::kRefused:
      return {"REFUSED", kFailed, true, Budget::kNone,
              "the worker had less free memory than expected; the job waits for a place elsewhere"};
    case Reason::kDeviceFailed:
      return {"DEVICE_FAILED", kFailed, true, Budget::kInfra,
              "a device of the worker failed and is cordoned; the job runs again elsewhere. See "
              "`swage workers`"};
    case Reason::kGangTimeout:
      return {"GANG_TIMEOUT", kFailed, true, Budget::kInfra,
              "not all of the job's workers were ready in time; it is tried again"};
    case Reason::kGangMemberLost:
      return {"GANG_MEMBER_LOST", kFailed, true, Budget::kInfra,
              "one of the job's workers was lost, so all of them stopped; the job runs again"};
    case Reason::kChildCrashed:
      return {"CHILD_CRASHED", kFailed, true, Budget::kUser,
              "the job's process crashed; the worker's log has the signal. Please report it"};
    case Reason::kOomReal:
      return {"OOM_REAL", kFailed, false, Budget::kUser,
              "the job needs more memory than the worker has; use a worker with more memory or "
              "fewer windows"};
    case Reason::kInputMissing:
      return {"INPUT_MISSING", kFailed, false, Budget::kUser,
              "an input is not in the store; upload it again and submit the job anew"};
    case Reason::kInputCorrupt:
      return {"INPUT_CORRUPT", kFailed, false, Budget::kUser,
              "an input is damaged or contradicts itself; check the model's files and upload them "
              "again"};
    case Reason::kInvalidSpec:
      return {"INVALID_SPEC", kFailed, false, Budget::kUser,
              "the recipe does not fit the model; see the message"};
    case Reason::kMethodDiverged:
      return {
          "METHOD_DIVERGED", kFailed, false, Budget::kUser,
          "the method produced values that are not finite; try other options or another method"};
    case Reason::kDeadlineExceeded:
      return {"DEADLINE_EXCEEDED", kFailed, false, Budget::kUser,
              "the job took longer than it was allowed to"};
    case Reason::kPublishRefused:
      return {"PUBLISH_REFUSED", kFailed, false, Budget::kUser,
              "the store refused to publish the result; see the message, then retry the job"};
    case Reason::kQuarantined:
      return {"QUARANTINED", kFailed, false, Budget::kNone,
              "workers died under this job again and again at the same point; it is not tried again "
              "by itself. Look at the worker's log, then `swage retry` it"};
    case Reason::kDependencyFailed:
      return {"DEPENDENCY_FAILED", kFailed, false, Budget::kNone,
              "a job that this one waits for did not succeed; retry that one, and this one follows"};
    case Reason::kCancelledByUser:
      return {"CANCELLED_BY_USER", kCancelled, false, Budget::kNone, "cancelled on request"};
    case Reason::kCancelledByAdmin:
      return {"CANCELLED_BY_ADMIN", kCancelled, false, Budget::kNone, "cancelled by an operator"};
    case Reason::kPausedByUser:
      return {"PAUSED_BY_USER", kCancelled, true, Budget::kNone,
              "paused on request; resume it to go on"};
    case Reason::kInternal:
      // Charged to the small budget: an unknown failure is as a rule deterministic, and must not be
      // tried ten times.
      return {"INTERNAL", kFailed, true, Budget::kUser,
              "an error inside Swage; the message has more. Please report it"};
  }
  return PolicyOf(Reason::kInternal);
}

std::string_view ReasonName(Reason reason) { return PolicyOf(reason).name; }

Reason ParseReason(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(kLastReason); ++i) {
    if (ReasonName(static_cast<Reason>(i)) == name) return static_cast<Reason>(i);
  }
  return Reason::kInternal;
}

}  // namespace swage
