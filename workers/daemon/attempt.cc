#include "workers/daemon/attempt.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/fault_hold.h"
#include "base/limits.h"
#include "base/log.h"
#include "workers/daemon/child_process.h"
#include "workers/daemon/failure.h"
#include "workers/job/child.h"

namespace swage {
namespace {

constexpr int kKillAfterMs = 5000;  // between asking a child to stop and making it
// The child's share of the whole job; the ends are this daemon's.
constexpr double kStaged = 0.02, kComputed = 0.95, kUploaded = 0.99;

}  // namespace

std::string ScratchOf(const std::string& scratch_dir, const Assignment& assignment) {
  return JoinPath(scratch_dir, Cat(assignment.tenant, ".", assignment.job));
}

Attempt::Attempt(const AttemptContext& context, Assignment assignment)
    : context_(context), assignment_(std::move(assignment)), client_(context.store_address, assignment_.tenant),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  SWAGE_CHECK(wake_fd_ >= 0, "eventfd");
}

Attempt::~Attempt() { ::close(wake_fd_); }

void Attempt::Stop(StopKind kind) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stop_ != StopKind::kNone) return;
  stop_ = kind;
  client_.Cancel();
  const uint64_t one = 1;
  if (::write(wake_fd_, &one, sizeof(one)) != sizeof(one)) LogError("eventfd cannot be written");
}

Attempt::StopKind Attempt::stop_kind() {
  std::lock_guard<std::mutex> lock(mutex_);
  return stop_;
}

Span Attempt::StartSpan(std::string_view name, const SpanContext& parent) {
  return context_.tracer == nullptr ? Span() : context_.tracer->Start(name, parent);
}

void Attempt::Report(const std::string& stage, double fraction, const std::string& message) {
  last_.stage = stage;
  last_.fraction = std::max(last_.fraction, fraction);
  last_.message = message;
  context_.progress(assignment_.token, last_);
}

SlotOutcome Attempt::Run() {
  const SpanContext parent = SpanContext::FromTraceparent(assignment_.traceparent);
  span_ = StartSpan("attempt", parent);
  span_.SetAttribute("swage.job", assignment_.job);
  span_.SetAttribute("swage.epoch", Cat(assignment_.token.epoch));
  const auto outcome = [&]() -> SlotOutcome {
    const auto model = StageModel();
    if (!model.ok()) return OutcomeOf(model.status(), FailedIn::kStaging);
    const auto texts = StageTexts();
    if (!texts.ok()) return OutcomeOf(texts.status(), FailedIn::kStaging);
    const auto scratch = PrepareScratch();
    if (!scratch.ok()) return OutcomeOf(scratch.status(), FailedIn::kStaging);

    EngineRequest request;
    request.model_dir = **model;
    request.recipe_json = assignment_.recipe_json;
    request.out_dir = JoinPath(*scratch, Cat("out-", assignment_.token.epoch));
    request.scratch_dir = JoinPath(*scratch, "work");
    request.threads = context_.threads;
    request.memory_limit_bytes = assignment_.memory_limit_bytes;
    request.trace_parent = span_.context().valid() ? span_.context() : parent;
    if (const auto digest = Digest::FromHex(assignment_.model_digest); digest.ok()) request.model_digest = *digest;
    for (const auto& [path, pin] : *texts) {
      request.texts[path] = JoinPath(*pin, "text");
      if (const auto digest = Digest::FromHex(assignment_.files.at(path)); digest.ok()) request.text_digests[path] = *digest;
    }
    bool done = false;
    SlotOutcome failure =
        RunChild(EncodeRun(request, context_.trace_file, assignment_.job, assignment_.attempt), &done);
    if (!done) return failure;
    const auto artifact = Publishable(request.out_dir);
    if (!artifact.ok()) return OutcomeOf(artifact.status(), FailedIn::kUpload);
    return {*artifact, "", ""};
  }();
  const bool failed = outcome.manifest_digest.empty();
  if (failed && stop_kind() == StopKind::kDrain) {
    span_.End();
    return {"", "DRAINED", "the worker is being emptied"};
  }
  if (failed && stop_kind() == StopKind::kUnwanted) {
    span_.End();
    return {"", "STOPPED", "no longer wanted here"};  // for the log; the slot is dropped without a report
  }
  if (failed) span_.SetStatus(Error(StatusCode::kAborted, outcome.reason, outcome.message));
  span_.End();
  return outcome;
}

StatusOr<InputCache::Pin> Attempt::StageModel() {
  Report("stage_inputs", 0);
  HoldAt("stage_inputs");
  Span span = StartSpan("stage_inputs", span_.context());
  client_.SetTraceParent(span.context());
  auto pin = context_.cache->Acquire(
      assignment_.model_digest,
      [this](const std::string& folder) {
        return client_.Download(assignment_.model_digest, folder, [this](const Transfer& transfer) {
          const double part = transfer.total == 0 ? 1 : static_cast<double>(transfer.done) / transfer.total;
          Report("stage_inputs", kStaged * part, "downloading the model");
        });
      },
      [this] { return stop_kind() == StopKind::kNone; });
  span.SetStatus(pin.status());
  return pin;
}

StatusOr<std::map<std::string, InputCache::Pin>> Attempt::StageTexts() {
  std::map<std::string, InputCache::Pin> pins;
  for (const auto& [path, hex] : assignment_.files) {
    SWAGE_ASSIGN_OR_RETURN(const Digest digest, Digest::FromHex(hex));
    SWAGE_ASSIGN_OR_RETURN(pins[path], context_.cache->Acquire(
                                           hex,
                                           [&](const std::string& folder) {
                                             return client_.DownloadObject(digest, JoinPath(folder, "text"));
                                           },
                                           [this] { return stop_kind() == StopKind::kNone; }));
  }
  return pins;
}

// Results of earlier attempts are of no use (only the token that finishes counts); their checkpoints in work/ are.
StatusOr<std::string> Attempt::PrepareScratch() {
  const std::string scratch = ScratchOf(context_.scratch_dir, assignment_);
  SWAGE_RETURN_IF_ERROR(context_.env->CreateDirs(JoinPath(scratch, "work")));
  SWAGE_ASSIGN_OR_RETURN(const auto entries, context_.env->ListDir(scratch));
  for (const DirEntry& entry : entries) {
    if (StartsWith(entry.name, "out-")) {
      SWAGE_RETURN_IF_ERROR(context_.env->RemoveTree(JoinPath(scratch, entry.name)));
    }
  }
  return scratch;
}

SlotOutcome Attempt::RunChild(const std::string& request_line, bool* done) {
  auto child = ChildProcess::Spawn(context_.child_executable, {"__job"});
  if (!child.ok()) return OutcomeOf(child.status(), FailedIn::kEngine);
  (void)child->Send(request_line);  // a child that is gone already shows in Wait
  bool asked = false;
  int64_t kill_at = 0;
  SlotOutcome failure;
  std::string line;
  while (true) {
    const int64_t now = context_.clock->MonotonicNanos();
    const int timeout_ms = asked ? static_cast<int>(std::max<int64_t>(0, (kill_at - now) / 1000000)) : -1;
    const auto event = child->Wait(asked ? -1 : wake_fd_, timeout_ms, &line);
    if (event == ChildProcess::Event::kEnd) break;
    if (event == ChildProcess::Event::kTimeout) {
      child->Kill();
      break;
    }
    if (event == ChildProcess::Event::kWake) {
      asked = true;
      kill_at = now + int64_t{kKillAfterMs} * 1000000;
      (void)child->Send(R"({"cancel":true})");
      continue;
    }
    const auto message = DecodeMessage(line);
    if (!message.ok()) {
      failure = OutcomeOf(Annotate(message.status(), "from the job's process"), FailedIn::kEngine);
      child->Kill();
      break;
    }
    switch (message->kind) {
      case ChildMessage::Kind::kProgress: {
        const auto& progress = message->progress;
        last_.peak_bytes = progress.peak_bytes;
        last_.eta_seconds = progress.eta_seconds;
        Report(progress.stage, kStaged + (kComputed - kStaged) * std::clamp(progress.fraction, 0.0, 1.0), progress.message);
        break;
      }
      case ChildMessage::Kind::kDone:
        *done = true;
        break;
      case ChildMessage::Kind::kFailed:
        failure = OutcomeOf(message->failure, FailedIn::kEngine);
        break;
    }
  }
  const int wait_status = child->Reap();
  if (*done || !failure.reason.empty()) return failure;
  return OutcomeOfChildEnd(wait_status);
}

// Uploads and prepares the result: it stays invisible until the scheduler has decided for this token.
StatusOr<std::string> Attempt::Publishable(const std::string& out_dir) {
  last_.eta_seconds = -1;
  Report("upload", kComputed);
  HoldAt("upload");
  Span upload = StartSpan("upload", span_.context()), commit;
  client_.SetTraceParent(upload.context());
  const auto progress = [this](const Transfer& transfer) {
    const double part = transfer.total == 0 ? 1 : static_cast<double>(transfer.done) / transfer.total;
    Report("upload", kComputed + (kUploaded - kComputed) * part);
  };
  const auto before_prepare = [&]() -> Status {
    upload.End();
    commit = StartSpan("commit", span_.context());
    Report("commit", kUploaded);
    HoldAt("commit");
    if (context_.may_commit(assignment_.token)) return absl::OkStatus();
    return Error(StatusCode::kAborted, "LEASE_LOST", "the lease ended or the attempt is no longer wanted");
  };
  const TokenFields token{assignment_.token.incarnation, assignment_.token.epoch, assignment_.token.random};
  auto artifact = client_.PrepareFolder(out_dir, assignment_.job, token, progress, before_prepare);
  (commit.context().valid() ? commit : upload).SetStatus(artifact.status());
  return artifact;
}

}  // namespace swage
