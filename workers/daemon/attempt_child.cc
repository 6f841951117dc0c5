// The part of an attempt that the child process runs, and the checkpoints that are shared meanwhile.
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "workers/daemon/attempt.h"
#include "workers/daemon/failure.h"
#include "workers/job/child.h"

namespace swage {
namespace {

constexpr int64_t kKillAfterMs = 5000;  // between asking a child to end at once and making it

}  // namespace

SlotOutcome Attempt::RunChild(const std::string& request_line, bool* done) {
  auto child = ChildProcess::Spawn(context_.child_executable, {"__job"});
  if (!child.ok()) return OutcomeOf(child.status(), FailedIn::kEngine);
  child_pid_.store(child->pid());
  (void)child->Send(request_line);  // a child that is gone already shows in Wait
  Deadline deadline;
  SlotOutcome failure;
  std::string line;
  while (true) {
    const int64_t left_ms = (deadline.kill_at - context_.clock->MonotonicNanos()) / kNanosPerMilli;
    const int timeout_ms =
        deadline.kill_at == INT64_MAX ? -1 : static_cast<int>(std::clamp<int64_t>(left_ms, 0, INT32_MAX));
    const auto event = child->Wait(wake_fd_, timeout_ms, &line);
    if (event == ChildProcess::Event::kEnd) break;
    if (event == ChildProcess::Event::kTimeout) {
      child->Kill();
      break;
    }
    if (event == ChildProcess::Event::kWake) {
      SayControl(&*child, &deadline);
    } else if (!Hear(&*child, line, done, &failure)) {
      break;
    }
  }
  child_pid_.store(-1);
  const int wait_status = child->Reap();
  if (*done || !failure.reason.empty()) return failure;
  return OutcomeOfChildEnd(wait_status);
}

// Passes on what has been asked for since the last time.
void Attempt::SayControl(ChildProcess* child, Deadline* deadline) {
  eventfd_t count = 0;
  (void)::eventfd_read(wake_fd_, &count);
  const Control now = control();
  const int64_t mono = context_.clock->MonotonicNanos();
  if (now.stop && !std::exchange(deadline->stop_said, true)) {
    deadline->kill_at = std::min(deadline->kill_at, mono + kKillAfterMs * kNanosPerMilli);
    (void)child->Send(R"({"cancel":true})");
  } else if (now.wind_down && !std::exchange(deadline->wind_down_said, true)) {
    deadline->kill_at = mono + std::max<int64_t>(0, now.grace_ms) * kNanosPerMilli;
    (void)child->Send(R"({"stop":true})");
  }
  if (!now.rendezvous.empty() && !std::exchange(deadline->met_said, true)) {
    (void)child->Send(EncodeGathered(now.rendezvous));
  }
}

// False: it does not speak as it should, and was ended.
bool Attempt::Hear(ChildProcess* child, const std::string& line, bool* done, SlotOutcome* failure) {
  const auto message = DecodeMessage(line);
  if (!message.ok()) {
    *failure = OutcomeOf(Annotate(message.status(), "from the job's process"), FailedIn::kEngine);
    child->Kill();
    return false;
  }
  switch (message->kind) {
    case ChildMessage::Kind::kProgress:
      NoteProgress(message->progress);
      break;
    case ChildMessage::Kind::kRendezvous:
      context_.rendezvous(assignment_.token, message->rendezvous);
      break;
    case ChildMessage::Kind::kDone:
      *done = true;
      break;
    case ChildMessage::Kind::kFailed:
      *failure = OutcomeOf(message->failure, FailedIn::kEngine);
      break;
  }
  return true;
}

void Attempt::NoteProgress(const Progress& progress) {
  const bool block_ended = StartsWith(last_.stage, "block[") && progress.stage != last_.stage;
  last_.peak_bytes = progress.peak_bytes;
  last_.eta_seconds = progress.eta_seconds;
  Report(progress.stage, kStaged + (kComputed - kStaged) * std::clamp(progress.fraction, 0.0, 1.0), progress.message);
  if (!block_ended || !context_.share_checkpoints || !shared_.load()) return;
  if (pace_.Due(context_.clock->MonotonicNanos()) && Wanted()) ShareInBackground();
}

// Beside the computing, whose progress must be heard on.
void Attempt::ShareInBackground() {
  if (sharing_.joinable()) sharing_.join();
  shared_.store(false);
  sharing_ = std::thread([this] {
    ShareCheckpoint();
    shared_.store(true);
  });
}

void Attempt::ShareCheckpoint() {
  if (!context_.share_checkpoints) return;
  const int64_t began = context_.clock->MonotonicNanos();
  const auto artifact = share_.Share();
  pace_.Shared(began, context_.clock->MonotonicNanos());
  if (!artifact.ok()) {
    LogWarning("the checkpoint of ", assignment_.job, " is not shared: ", MessageOf(artifact.status()));
  } else if (!artifact->empty()) {
    context_.checkpointed(assignment_.token, *artifact);
  }
}

}  // namespace swage
