#include "workers/daemon/attempt.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/fault_hold.h"
#include "base/log.h"
#include "workers/daemon/devices.h"
#include "workers/daemon/failure.h"
#include "workers/job/child.h"

namespace swage {

std::string ScratchOf(const std::string& scratch_dir, const Assignment& assignment) {
  return JoinPath(scratch_dir, Cat(assignment.tenant, ".", assignment.job));
}

Attempt::Attempt(const AttemptContext& context, Assignment assignment)
    : context_(context), assignment_(std::move(assignment)), client_(context.store_address, assignment_.tenant),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      share_(context.env, context.store_address, assignment_.tenant,
             JoinPath(ScratchOf(context.scratch_dir, assignment_), "work"),
             JoinPath(ScratchOf(context.scratch_dir, assignment_), "share")),
      pace_(context.share_every_ms, context.clock->MonotonicNanos()) {
  SWAGE_CHECK(wake_fd_ >= 0, "eventfd");
}

Attempt::~Attempt() {
  if (sharing_.joinable()) sharing_.join();
  ::close(wake_fd_);
}

void Attempt::Wake() {
  const uint64_t one = 1;
  if (::write(wake_fd_, &one, sizeof(one)) != sizeof(one)) LogError("eventfd cannot be written");
  changed_.notify_all();
}

void Attempt::Stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  control_.stop = true;
  client_.Cancel();
  share_.Cancel();
  Wake();
}

void Attempt::WindDown(const std::string& reason, int64_t grace_ms) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (control_.wind_down) return;
  control_.wind_down = true;
  control_.reason = reason;
  control_.grace_ms = grace_ms;
  client_.Cancel();  // neither inputs nor a result are needed any more
  Wake();
}

void Attempt::Go(const Assignment& complete) {
  std::lock_guard<std::mutex> lock(mutex_);
  control_.go = true;
  control_.peers = complete.peers;
  Wake();
}

void Attempt::Met(const Assignment& gathered) {
  std::lock_guard<std::mutex> lock(mutex_);
  control_.rendezvous = gathered.rendezvous;
  Wake();
}

Attempt::Control Attempt::control() {
  std::lock_guard<std::mutex> lock(mutex_);
  return control_;
}

bool Attempt::Wanted() {
  const Control now = control();
  return !now.stop && !now.wind_down;
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
  span_ = StartSpan("attempt", SpanContext::FromTraceparent(assignment_.traceparent));
  span_.SetAttribute("swage.job", assignment_.job);
  span_.SetAttribute("swage.epoch", Cat(assignment_.token.epoch));
  SlotOutcome outcome = Work();
  const Control asked = control();
  if (!asked.wind_down) share_.Cancel();
  if (sharing_.joinable()) sharing_.join();
  const bool failed = outcome.manifest_digest.empty() && !outcome.reason.empty();
  if (failed && asked.stop) {
    outcome = {"", "STOPPED", "no longer wanted here"};  // for the log; the slot is dropped without a report
  } else if (failed && asked.wind_down) {
    ShareCheckpoint();
    outcome = {"", asked.reason, "stopped with its checkpoint written"};
  } else if (failed) {
    span_.SetStatus(Error(StatusCode::kAborted, outcome.reason, outcome.message));
  }
  span_.End();
  return outcome;
}

SlotOutcome Attempt::Work() {
  if (const std::string refusal = context_.refusal(assignment_); !refusal.empty()) return {"", "REFUSED", refusal};
  const auto model = StageModel();
  if (!model.ok()) return OutcomeOf(model.status(), FailedIn::kStaging);
  const auto texts = StageTexts();
  if (!texts.ok()) return OutcomeOf(texts.status(), FailedIn::kStaging);
  const auto scratch = PrepareScratch();
  if (!scratch.ok()) return OutcomeOf(scratch.status(), FailedIn::kStaging);
  if (!assignment_.checkpoint.empty() && context_.share_checkpoints) share_.TakeOver(assignment_.checkpoint);
  if (const Status gang = AwaitGang(); !gang.ok()) return OutcomeOf(gang, FailedIn::kStaging);
  const auto request = MakeRequest(**model, *texts, span_.context().valid() ? span_.context()
                                                        : SpanContext::FromTraceparent(assignment_.traceparent));
  if (!request.ok()) return OutcomeOf(request.status(), FailedIn::kStaging);
  bool done = false;
  SlotOutcome failure = RunChild(EncodeRun(*request, context_.trace_file, assignment_.job, assignment_.attempt), &done);
  if (!done) {
    if (failure.reason == "DEVICE_FAILED") failure.device = FailedDevice(assignment_);
    return failure;
  }
  if (assignment_.rank != 0) return {};  // the first member brings the result
  const auto artifact = Publishable(request->out_dir);
  if (!artifact.ok()) return OutcomeOf(artifact.status(), FailedIn::kUpload);
  return {*artifact, "", ""};
}

StatusOr<EngineRequest> Attempt::MakeRequest(const std::string& model_dir,
                                             const std::map<std::string, InputCache::Pin>& texts,
                                             const SpanContext& parent) {
  const std::string scratch = ScratchOf(context_.scratch_dir, assignment_);
  EngineRequest request;
  request.model_dir = model_dir;
  request.recipe_json = assignment_.recipe_json;
  request.out_dir = JoinPath(scratch, Cat("out-", assignment_.token.epoch));
  request.scratch_dir = JoinPath(scratch, "work");
  request.keep_checkpoint = true;  // until the scheduler has accepted the result
  request.threads = context_.threads;
  request.memory_limit_bytes = assignment_.memory_limit_bytes;
  request.trace_parent = parent;
  for (const AssignedDevice& share : assignment_.devices) request.devices.push_back(share.device);
  request.rank = assignment_.rank;
  request.world = assignment_.world;
  const Control now = control();
  request.peers = now.go ? now.peers : assignment_.peers;
  SWAGE_ASSIGN_OR_RETURN(request.model_digest, Digest::FromHex(assignment_.model_digest));
  for (const auto& [path, pin] : texts) {
    request.texts[path] = JoinPath(*pin, "text");
    SWAGE_ASSIGN_OR_RETURN(request.text_digests[path], Digest::FromHex(assignment_.files.at(path)));
  }
  return request;
}

// A member of a gang computes only once all of them are there.
Status Attempt::AwaitGang() {
  if (assignment_.started) return absl::OkStatus();
  Report("stage_inputs", 0, "waiting for the other members");
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return control_.go || control_.stop || control_.wind_down; });
  if (control_.go) return absl::OkStatus();
  return Error(StatusCode::kCancelled, "CANCELLED", "no longer wanted");
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
      [this] { return Wanted(); });
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
                                           [this] { return Wanted(); }));
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
