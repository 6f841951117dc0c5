#include "tests/chaos/check.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "base/clock.h"
#include "base/env.h"

namespace swage::chaos {
namespace {

// Redis says "everysec", and may put off a write for two seconds while the disk is busy.
constexpr Milliseconds kLossWindow = 3000;
constexpr int kLookEveryMs = 200, kMostRetries = 3;
constexpr int64_t kHeardWithinNanos = 15'000'000'000;  // there is a leader after 10 s

// Reasons for which a job may give up when its workers are killed again and again.
bool IsBudget(const std::string& reason) {
  for (const char* ours : {"WORKER_LOST", "WORKER_RESTARTED", "LEASE_LOST", "CHILD_KILLED", "STORE_UNAVAILABLE",
                           "RESULT_MISSING", "QUARANTINED", "CHILD_CRASHED", "DEPENDENCY_FAILED"}) {
    if (reason == ours) return true;
  }
  return false;
}

class Checker {
 public:
  Checker(const CheckOptions& options, Load* load)
      : options_(options), load_(load), client_(Load::NewClient(options.address)),
        store_(options.store_address, "default") {}

  Findings Run() {
    for (const std::string& text : load_->violations()) found_.violations.push_back(text);
    MakeLostAgain();
    AwaitEnds();
    std::map<std::string, std::string> request_of;  // job -> request id
    for (const Entry& entry : load_->entries()) {
      ++found_.jobs;
      if (entry.name.empty()) {
        Violation(entry, "was never acknowledged, although the faults are over");
        continue;
      }
      const auto [at, fresh] = request_of.emplace(entry.name, entry.request_id);
      if (!fresh) Violation(entry, Cat("has the same job as ", at->second));
      const auto job = client_->Get(entry.name);
      if (!job.ok()) {
        Violation(entry, Cat("cannot be read: ", MessageOf(job.status())));
        continue;
      }
      CheckEnd(entry, *job);
      CheckAttempts(entry, *job);
      CheckEvents(entry, *job);
      if (job->state == "SUCCEEDED") CheckResult(entry, *job);
      if (job->state != "SUCCEEDED" && store_.Get(entry.name).ok()) {
        Violation(entry, Cat("is ", job->state, " and has an artifact"));
      }
      found_.ended[entry.name] = *job;
    }
    CheckStore();
    return std::move(found_);
  }

 private:
  void Violation(const Entry& entry, const std::string& text) {
    found_.violations.push_back(Cat(entry.request_id, " (", entry.name.empty() ? "no job" : entry.name, ") ", text));
    found_.bad_jobs.push_back(entry.request_id);
  }

  bool InLossWindow(Milliseconds when) const {
    return std::any_of(options_.redis_kills.begin(), options_.redis_kills.end(), [&](Milliseconds kill) {
      return when <= kill && when >= kill - kLossWindow;
    });
  }

  // Acknowledged and gone is a violation, but for what Redis's durability says; that must come back when it is asked
  // for again.
  void MakeLostAgain() {
    for (Entry entry : load_->entries()) {
      if (entry.name.empty()) continue;
      const auto job = client_->Get(entry.name);
      if (ReasonOf(job.status()) != "JOB_NOT_FOUND") continue;
      if (!InLossWindow(entry.acked)) {
        Violation(entry, "was acknowledged and is gone");
        continue;
      }
      ++found_.lost_suffix;
      const auto again = client_->Create(entry.submission, entry.request_id);
      if (!again.ok()) {
        Violation(entry, Cat("was lost with Redis's last second and cannot be made again: ", MessageOf(again.status())));
        continue;
      }
      entry.lost = true;
      entry.cancel_acked = entry.cancel_tried = false;
      entry.name = again->name;
      load_->Update(entry);
    }
  }

  void AwaitEnds() {
    const int64_t give_up = Clock::Real()->MonotonicNanos() + int64_t{options_.patience_ms} * 1000000;
    while (true) {
      std::vector<std::string> open;
      for (Entry entry : load_->entries()) {
        if (entry.name.empty()) continue;
        const auto job = client_->Get(entry.name);
        if (!job.ok() || !StepTowardsEnd(&entry, *job)) open.push_back(Cat(entry.name, " ", job.ok() ? job->state : "?"));
      }
      if (open.empty()) return;
      if (Clock::Real()->MonotonicNanos() > give_up) {
        found_.violations.push_back(Cat("not ended ", options_.patience_ms / 1000, " s after the faults: ", Join(open, ", ")));
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(kLookEveryMs));
    }
  }

  // True when the job has ended for good.
  bool StepTowardsEnd(Entry* entry, const JobView& job) {
    if (job.state == "PAUSED") (void)client_->Act(JobClient::Action::kResume, entry->name);
    if (!IsFinalState(job.state)) return false;
    if (job.state != "FAILED" || !IsBudget(job.reason) || entry->retries >= kMostRetries) return true;
    if (job.reason == "DEPENDENCY_FAILED") return FirstHasEnded(*entry);
    ++entry->retries;
    load_->Update(*entry);
    return !client_->Act(JobClient::Action::kRetry, entry->name).ok();
  }

  // A pair's second comes back by itself when the first is retried: it has ended once the first has.
  bool FirstHasEnded(const Entry& entry) {
    for (const Entry& other : load_->entries()) {
      if (other.request_id != entry.made_by) continue;
      const auto first = client_->Get(other.name);
      return first.ok() && (first->state == "CANCELLED" || (first->state == "FAILED" && other.retries >= kMostRetries));
    }
    return true;
  }

  void CheckEnd(const Entry& entry, const JobView& job) {
    if (job.state == "SUCCEEDED") {
      ++found_.succeeded;
      found_.again += entry.retries > 0;
    } else if (job.state == "CANCELLED") {
      ++found_.cancelled;
      if (!entry.cancel_tried) Violation(entry, "is CANCELLED, and nobody wanted that");
    } else if (job.state == "FAILED" && job.reason == "DEPENDENCY_FAILED" && !entry.made_by.empty()) {
      ++found_.failed_with_another;
    } else {
      Violation(entry, Cat("ended ", job.state, " ", job.reason, ": ", job.message));
    }
    if (entry.cancel_acked && job.state == "SUCCEEDED") CheckLateCancel(entry, job);
  }

  // A cancel that finds the decision made is answered by an event, or meets a job that has succeeded. Other than that
  // it counts, as soon as a leader has heard of it.
  void CheckLateCancel(const Entry& entry, const JobView& job) {
    int64_t decided = job.end_unix_nanos;
    bool said = false;
    WatchCallbacks callbacks;
    callbacks.event = [&](const EventView& event) {
      said = said || event.reason == "CANCEL_TOO_LATE";
      if (event.kind == "state" && event.state == "FINALIZING") decided = std::min(decided, event.unix_nanos);
    };
    (void)client_->Watch(job.name, 0, callbacks);
    if (said || decided <= entry.cancelled_unix_nanos + kHeardWithinNanos) {
      ++found_.late_cancels;
    } else if (InLossWindow(entry.cancelled)) {
      ++found_.undone_cancels;
    } else {
      Violation(entry, "was cancelled, and its result was decided long after");
    }
  }

  void CheckAttempts(const Entry& entry, const JobView& job) {
    uint64_t last = 0;
    for (const AttemptView& attempt : job.attempts) {
      if (attempt.epoch <= last) Violation(entry, Cat("epoch ", attempt.epoch, " after ", last));
      last = attempt.epoch;
      ++found_.attempts_by_reason[attempt.reason.empty() ? "done" : attempt.reason];
    }
    const int attempts = static_cast<int>(job.attempts.size());
    found_.attempts += attempts;
    found_.most_attempts = std::max(found_.most_attempts, attempts);
  }

  void CheckEvents(const Entry& entry, const JobView& job) {
    uint64_t last = 0, epoch = 0;
    std::string state;
    bool good = true;
    WatchCallbacks callbacks;
    callbacks.event = [&](const EventView& event) {
      ++found_.events;
      good = good && event.sequence == last + 1 && event.epoch >= epoch;
      last = event.sequence;
      epoch = event.epoch;
      if (event.kind == "state") state = event.state;
    };
    const auto watched = client_->Watch(entry.name, 0, callbacks);
    if (!watched.ok()) return Violation(entry, Cat("cannot be watched: ", MessageOf(watched.status())));
    if (!good) Violation(entry, "has events with a gap, or an epoch that falls");
    if (state != job.state) Violation(entry, Cat("is ", job.state, ", its last event says ", state));
    if (last != job.last_sequence) Violation(entry, Cat("has ", last, " events, its record says ", job.last_sequence));
  }

  void CheckResult(const Entry& entry, const JobView& job) {
    const auto artifact = store_.Get(entry.name);
    if (!artifact.ok() || artifact->id != job.artifact) {
      return Violation(entry, Cat("SUCCEEDED with ", job.artifact, ", the store says ",
                                  artifact.ok() ? artifact->id : MessageOf(artifact.status())));
    }
    const auto weights = Load::WeightsOf(&store_, job.artifact, JoinPath(options_.scratch, "download"));
    if (!weights.ok()) return Violation(entry, Cat("its artifact does not download: ", MessageOf(weights.status())));
    ++found_.downloads;
    if (*weights != load_->variants()[entry.variant].reference) Violation(entry, "its weights are not those of an undisturbed run");
  }

  // Nothing is visible but what a succeeded job published, and what was uploaded whole.
  void CheckStore() {
    const auto artifacts = store_.List();
    if (!artifacts.ok()) {
      found_.violations.push_back(Cat("the store cannot be listed: ", MessageOf(artifacts.status())));
      return;
    }
    std::map<std::string, int> made;  // artifacts by job
    for (const ArtifactInfo& artifact : *artifacts) {
      if (const auto manifest = store_.GetManifest(artifact.id); !manifest.ok()) {
        found_.violations.push_back(Cat("artifact ", artifact.id, " is listed and has no manifest"));
      }
      if (artifact.job.empty() || artifact.kind == "checkpoint") continue;
      const std::string name = StartsWith(artifact.job, "jobs/") ? artifact.job : Cat("jobs/", artifact.job);
      const auto job = found_.ended.find(name);
      if (job == found_.ended.end()) continue;  // one of the undisturbed runs
      if (++made[name] > 1) found_.violations.push_back(Cat(name, " has more than one artifact"));
      if (job->second.artifact != artifact.id || job->second.state != "SUCCEEDED") {
        found_.violations.push_back(Cat("artifact ", artifact.id, " is visible, but ", name, " is ", job->second.state,
                                        " with ", job->second.artifact));
      }
    }
  }

  const CheckOptions& options_;
  Load* const load_;
  const std::unique_ptr<JobClient> client_;
  ArtifactClient store_;
  Findings found_;
};

}  // namespace

Findings Check(const CheckOptions& options, Load* load) { return Checker(options, load).Run(); }

std::string StoryOf(const std::string& address, const std::string& name) {
  const auto client = Load::NewClient(address);
  const auto job = client->Get(name);
  if (!job.ok()) return Cat(name, ": ", MessageOf(job.status()), "\n");
  std::string story = JobText(*job);
  uint64_t after = 0;
  WatchCallbacks callbacks;
  callbacks.event = [&](const EventView& event) {
    after = event.sequence;
    story += Cat("  #", event.sequence, " ", Rfc3339(event.unix_nanos), " ", event.kind, " ", event.state, " epoch ",
                 event.epoch, " ", event.progress.stage, " ", event.reason, " ", event.message, "\n");
  };
  if (IsFinalState(job->state)) (void)client->Watch(name, 0, callbacks);
  return story;
}

}  // namespace swage::chaos
