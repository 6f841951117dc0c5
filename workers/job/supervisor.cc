#include "workers/job/supervisor.h"

#include <algorithm>

#include "base/fault_hold.h"
#include "kernels/api/device.h"
#include "workers/runtime/process_memory.h"

namespace swage {
namespace {

constexpr int64_t kReportNanos = 100'000'000;
constexpr int64_t kMemoryNanos = 20'000'000;

}  // namespace

Supervisor::Supervisor(const EngineHooks& hooks, uint64_t memory_limit_bytes,
                       const SpanContext& parent)
    : hooks_(hooks),
      memory_limit_bytes_(memory_limit_bytes),
      parent_(parent),
      clock_(Clock::Real()),
      plan_(clock_) {
  ReturnWhatIsFreed();
  if (memory_limit_bytes == 0) return;
  const uint64_t held = AnonymousBytes();
  const uint64_t left = memory_limit_bytes > held ? memory_limit_bytes - held : 1;
  HostMemory().set_limit_bytes(HostMemory().used_bytes() + static_cast<int64_t>(left));
}

Supervisor::~Supervisor() {
  if (memory_limit_bytes_ > 0) HostMemory().set_limit_bytes(0);
}

void Supervisor::Report(const std::string& message) {
  last_report_ = clock_->MonotonicNanos();
  if (!hooks_.progress) return;
  peak_bytes_ = std::max(peak_bytes_, PeakResidentBytes());
  hooks_.progress({stage_, plan_.Fraction(), plan_.EtaSeconds(), message, peak_bytes_});
}

Status Supervisor::Begin(const std::string& stage, const std::string& message) {
  stage_ = stage;
  plan_.Begin(stage);
  peak_bytes_ = std::max(peak_bytes_, PeakResidentBytes());
  ResetPeak();
  if (hooks_.tracer != nullptr)
    span_ = hooks_.tracer->Start(stage, parent_, {{"swage.stage", stage}});
  Report(message);
  HoldAt(stage);
  begun_ = clock_->MonotonicNanos();
  SWAGE_RETURN_IF_ERROR(Check());
  return CheckStopping();
}

Status Supervisor::CheckStopping() const {
  if (!hooks_.stopping || !hooks_.stopping()) return absl::OkStatus();
  return Error(StatusCode::kCancelled, "STOPPED", Cat("stopped in ", stage_, " as it was asked to"));
}

StageReport Supervisor::Measure() const {
  const double seconds = static_cast<double>(clock_->MonotonicNanos() - begun_) * 1e-9;
  return {stage_, seconds, PeakResidentBytes()};
}

StageReport Supervisor::End(const Status& status) {
  const StageReport report = Measure();
  peak_bytes_ = std::max(peak_bytes_, report.peak_bytes);
  plan_.Finish();
  span_.SetAttribute("swage.peak_bytes", Cat(report.peak_bytes));
  span_.SetStatus(status);
  span_.End();
  if (status.ok()) Report("");
  return report;
}

Status Supervisor::Check() {
  if (hooks_.cancelled && hooks_.cancelled()) {
    return Error(StatusCode::kCancelled, "CANCELLED", Cat("cancelled in ", stage_));
  }
  // A block is finished first: that is what a stop is given time for. Of other stages nothing is kept.
  if (!StartsWith(stage_, "block[")) SWAGE_RETURN_IF_ERROR(CheckStopping());
  const int64_t now = clock_->MonotonicNanos();
  if (memory_limit_bytes_ == 0 || now - last_memory_ < kMemoryNanos) return absl::OkStatus();
  last_memory_ = now;
  const uint64_t used = AnonymousBytes();
  if (used <= memory_limit_bytes_) return HostMemory().Check();
  return Error(StatusCode::kResourceExhausted, "OOM_REAL",
               Cat(stage_, " uses ", HumanBytes(static_cast<double>(used)), ", the job may use ",
                   HumanBytes(static_cast<double>(memory_limit_bytes_))),
               "give the worker more memory, or evaluate shorter windows");
}

void Supervisor::Advance(double part) {
  plan_.Advance(part);
  if (clock_->MonotonicNanos() - last_report_ >= kReportNanos) Report("");
}

void Supervisor::SetAttribute(const std::string& key, const std::string& value) {
  span_.SetAttribute(key, value);
}

}  // namespace swage
