#include "clients/cli/job_view.h"

#include <algorithm>

#include "base/text.h"
#include "clients/cli/console.h"

namespace swage {
namespace {

constexpr size_t kShownModules = 12;

std::string Percent(double fraction) { return Cat(static_cast<int>(fraction * 100), " %"); }

double SecondsBetween(int64_t begin, int64_t end) { return static_cast<double>(end - begin) * 1e-9; }

std::string Fixed(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

void Line(std::string* out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  *out += Cat("  ", key, std::string(key.size() < 10 ? 10 - key.size() : 1, ' '), Printable(value), "\n");
}

std::string WaitingFor(const JobView& job) {
  if (job.state == "QUEUED") return job.pending_reason.empty() ? "a worker" : job.pending_reason;
  return "";
}

}  // namespace

bool IsFinalState(std::string_view state) {
  return state == "SUCCEEDED" || state == "FAILED" || state == "CANCELLED";
}

StatusOr<std::string> JobName(const std::string& text) {
  const std::string id = StartsWith(text, "jobs/") ? text.substr(5) : text;
  const bool good = !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_';
  });
  if (!good) {
    return InvalidInput("BAD_JOB_NAME", Cat("'", Printable(text), "' is no job's name"),
                        "'swage jobs' lists the jobs");
  }
  return "jobs/" + id;
}

std::string JobText(const JobView& job) {
  std::string out = Cat(job.name, "  ", job.state, "\n");
  Line(&out, "model", Cat(job.model, job.model_digest.empty() ? "" : "  ", ShortDigest(job.model_digest)));
  Line(&out, "after", Join(job.after, ", "));
  Line(&out, "waits for", WaitingFor(job));
  if (!IsFinalState(job.state) && !job.progress.stage.empty()) {
    std::string text = Cat(job.progress.stage, "  ", Percent(job.progress.fraction));
    if (job.progress.eta_seconds >= 0) text += Cat("  ", HumanSeconds(job.progress.eta_seconds), " left");
    Line(&out, "progress", text);
  }
  if (job.state != "SUCCEEDED") Line(&out, "reason", job.reason);
  Line(&out, "message", job.message);
  Line(&out, "created", LocalTime(job.create_unix_nanos));
  if (job.start_unix_nanos > 0) Line(&out, "started", LocalTime(job.start_unix_nanos));
  if (job.end_unix_nanos > 0) {
    Line(&out, "ended", LocalTime(job.end_unix_nanos));
    Line(&out, "took", HumanSeconds(SecondsBetween(job.create_unix_nanos, job.end_unix_nanos)));
  }
  if (!job.artifact.empty()) {
    Line(&out, "artifact", Cat(job.artifact_alias, job.artifact_alias.empty() ? "" : "  ", job.artifact,
                               job.shared_result ? "  (made by an equal job before)" : ""));
  }
  if (job.evictions > 0) Line(&out, "preempted", Cat(job.evictions, job.evictions == 1 ? " time" : " times"));
  Line(&out, "trace", job.trace_id);
  for (const AttemptView& attempt : job.attempts) {
    std::string text = Cat("epoch ", attempt.epoch, "  ", attempt.worker, "  ", LocalTime(attempt.start_unix_nanos));
    if (attempt.end_unix_nanos > 0) text += Cat("  ", attempt.reason.empty() ? "OK" : attempt.reason);
    if (!attempt.last_stage.empty()) text += Cat("  in ", attempt.last_stage);
    Line(&out, "attempt", text);
  }
  return out;
}

std::string PlanText(const PlanView& plan) {
  std::string out = Cat(plan.modules.size(), " linears are quantized, ", plan.kept_dense.size(), " stay dense\n");
  TextTable table({{"  module"}, {"weights"}, {"activations"}});
  for (size_t i = 0; i < std::min(plan.modules.size(), kShownModules); ++i) {
    const auto& m = plan.modules[i];
    table.AddRow({Cat("  ", Printable(m.module)), m.weights, m.activations.empty() ? "-" : m.activations});
  }
  out += table.ToString();
  if (plan.modules.size() > kShownModules) out += Cat("  ... and ", plan.modules.size() - kShownModules, " more\n");
  out += Cat("estimate: ", Fixed(plan.bits_per_weight, 3), " bits a weight, artifact ",
             HumanBytes(static_cast<double>(plan.artifact_bytes)), ", peak memory ",
             HumanBytes(static_cast<double>(plan.peak_host_bytes)), ", ", HumanSeconds(plan.seconds), "\n");
  return out;
}

std::string JobsTable(const std::vector<JobView>& jobs) {
  if (jobs.empty()) return "no jobs\n";
  TextTable table({{"JOB"}, {"STATE"}, {"PROGRESS", Align::kRight}, {"STAGE"}, {"MODEL"}, {"CREATED"}, {"RESULT"}});
  for (const JobView& job : jobs) {
    const bool ended = IsFinalState(job.state);
    std::string result = job.state == "SUCCEEDED" ? job.artifact_alias : ended ? job.reason : WaitingFor(job);
    if (job.shared_result && ended) result += " (shared)";
    table.AddRow({job.name, job.state, job.state == "SUCCEEDED" ? "100 %" : Percent(job.progress.fraction),
                  ended ? "" : Printable(job.progress.stage), Printable(job.model), LocalTime(job.create_unix_nanos),
                  Printable(result)});
  }
  return table.ToString();
}

Status JobFailure(const JobView& job) {
  const bool cancelled = job.state == "CANCELLED";
  std::string message = Cat(job.name, cancelled ? " was cancelled" : " failed");
  if (!job.message.empty()) message += Cat(": ", job.message);
  return Error(cancelled ? StatusCode::kCancelled : StatusCode::kUnknown, job.reason, message,
               cancelled ? "'swage retry' queues it again" : Cat("see 'swage job ", job.name, "' for its attempts"));
}

}  // namespace swage
