#include "tests/chaos/load.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "base/digest.h"
#include "base/env.h"

namespace swage::chaos {
namespace {

constexpr int kSubmitters = 2, kLooked = 200;
constexpr int kPatienceMs = 120000;

std::string Recipe(const std::string& step, const std::string& tail) {
  return Cat("steps:\n- {kind: quantize, method: rtn, ", step, "}\n", tail);
}

}  // namespace

Load::Load(const Options& options) : options_(options), began_nanos_(Clock::Real()->MonotonicNanos()) {
  const std::string evaluate = "evaluate: {text: text.txt, window: 128, max_windows: 4}\n";
  variants_ = {{Recipe("format: int4, granularity: group, group_size: 128, ignore: [lm_head]", evaluate), false, ""},
               {Recipe("format: int8, granularity: channel", ""), false, ""},
               {Recipe("format: int4, granularity: group, group_size: 64, symmetric: false", ""), false, ""},
               {Recipe("format: int8, granularity: channel", "export: dense\n"), false, ""},
               {Recipe("format: int4, granularity: group, group_size: 128", ""), true, ""}};
}

Load::~Load() { End(); }

std::unique_ptr<JobClient> Load::NewClient(const std::string& address) {
  JobClientOptions options;
  options.address = [address]() -> StatusOr<std::string> { return address; };
  options.tenant = "default";
  options.connect_ms = options.away_ms = kPatienceMs;
  return std::make_unique<JobClient>(std::move(options));
}

Milliseconds Load::Now() const { return (Clock::Real()->MonotonicNanos() - began_nanos_) / 1000000; }

Submission Load::NewSubmission(int variant, const std::string& model) const {
  Submission submission;
  submission.model = model;
  submission.recipe_yaml = variants_[variant].recipe;
  submission.skip_cache = true;
  if (submission.recipe_yaml.find("text.txt") != std::string::npos) submission.files["text.txt"] = options_.text_digest;
  return submission;
}

StatusOr<std::string> Load::WeightsOf(ArtifactClient* store, const std::string& artifact, const std::string& scratch) {
  SWAGE_RETURN_IF_ERROR(store->Download(artifact, scratch, nullptr));
  SWAGE_ASSIGN_OR_RETURN(const std::string bytes,
                         ReadFile(Env::Posix(), JoinPath(scratch, "model.safetensors"), uint64_t{1} << 32));
  SWAGE_RETURN_IF_ERROR(Env::Posix()->RemoveTree(scratch));
  return Sha256Of(bytes).Hex();
}

Status Load::MakeReferences(const std::string& scratch, ArtifactClient* store) {
  const auto client = NewClient(options_.address);
  std::string first;  // a dense result, the model of those that want one
  for (size_t i = 0; i < variants_.size(); ++i) {
    const std::string model = variants_[i].second ? first : options_.model;
    SWAGE_ASSIGN_OR_RETURN(const JobView job, client->Create(NewSubmission(static_cast<int>(i), model), Cat("ref-", i)));
    SWAGE_ASSIGN_OR_RETURN(const JobView done, client->Watch(job.name, 0, {}));
    if (done.state != "SUCCEEDED") return Internal(Cat("the undisturbed job ", job.name, " ended ", done.state, ": ", done.message));
    if (variants_[i].recipe.find("export: dense") != std::string::npos) first = done.name;
    SWAGE_ASSIGN_OR_RETURN(variants_[i].reference, WeightsOf(store, done.artifact, JoinPath(scratch, "reference")));
  }
  return absl::OkStatus();
}

void Load::Begin() {
  for (int i = 0; i < kSubmitters; ++i) {
    threads_.emplace_back([this, i] {
      Rng rng(options_.seed, 100 + i);
      const auto client = NewClient(options_.address);
      do Submit(client.get(), &rng);
      while (Pause(100 + static_cast<int>(rng.Uniform(400))));
    });
  }
  threads_.emplace_back([this] {
    Rng rng(options_.seed, 200);
    const auto client = NewClient(options_.address);
    while (Pause(300 + static_cast<int>(rng.Uniform(900)))) Act(client.get(), &rng);
  });
  looker_ = std::thread([this] {
    const auto client = NewClient(options_.address);
    while (!stop_looking_) {
      Look(client.get());
      std::this_thread::sleep_for(std::chrono::milliseconds(150));
    }
  });
}

void Load::End() {
  ending_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  stop_looking_ = true;
  if (looker_.joinable()) looker_.join();
}

bool Load::Pause(int ms) {
  for (; ms > 0 && !ending_; ms -= 20) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return !ending_;
}

// A new request, written down before it is sent. Of a pair's first half the second is submitted next.
Entry Load::NewEntry(Rng* rng) {
  std::lock_guard lock(mu_);
  Entry entry;
  entry.request_id = Cat("chaos-", options_.seed, "-", next_++);
  entry.submitted = Now();
  std::vector<const Entry*> firsts;  // dense ones that may still serve
  for (const std::string& id : order_) {
    const Entry& e = entries_.at(id);
    const bool dense = variants_[e.variant].recipe.find("export: dense") != std::string::npos;
    if (dense && !e.name.empty() && !e.cancel_acked && e.seen.state != "FAILED") firsts.push_back(&e);
  }
  entry.variant = static_cast<int>(rng->Uniform(variants_.size()));
  if (variants_[entry.variant].second && firsts.empty()) entry.variant = 3;
  std::string model = options_.model;
  if (variants_[entry.variant].second) {
    entry.made_by = firsts.back()->request_id;
    model = firsts.back()->name;
  }
  entry.submission = NewSubmission(entry.variant, model);
  entries_[entry.request_id] = entry;
  order_.push_back(entry.request_id);
  ++open_;
  return entry;
}

void Load::Submit(JobClient* client, Rng* rng) {
  {
    std::lock_guard lock(mu_);
    if (open_ >= options_.most_open) return;
  }
  Entry entry = NewEntry(rng);
  const bool twice = rng->Uniform(4) == 0;
  while (true) {
    const auto job = client->Create(entry.submission, entry.request_id);
    if (job.ok()) {
      std::lock_guard lock(mu_);
      Entry& known = entries_.at(entry.request_id);
      known.name = job->name;
      known.acked = Now();
      break;
    }
    // The first of a pair may have ended badly meanwhile: then there is no second.
    const std::string reason = ReasonOf(job.status());
    if (!entry.made_by.empty() && (reason == "BAD_DEPENDENCY" || reason == "UNKNOWN_MODEL")) {
      std::lock_guard lock(mu_);
      entries_.erase(entry.request_id);
      order_.erase(std::find(order_.begin(), order_.end(), entry.request_id));
      --open_;
      return;
    }
    const StatusCode code = job.status().code();
    if (code != StatusCode::kUnavailable && code != StatusCode::kDeadlineExceeded && code != StatusCode::kAborted) {
      Violation(Cat(entry.request_id, " was refused: ", ToAbsl(std::string(job.status().message())), " (", reason, ")"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  if (!twice) return;
  ++doubled_;
  const auto again = client->Create(entry.submission, entry.request_id);
  std::lock_guard lock(mu_);
  const std::string& name = entries_.at(entry.request_id).name;
  // After Redis lost its last second the two may differ; the check looks at that by time.
  if (again.ok() && again->name != name) {
    violations_.push_back(Cat(entry.request_id, " made ", name, " and then ", again->name));
    entries_.at(entry.request_id).name = again->name;
  }
}

// Cancels a job, or pauses and resumes one.
void Load::Act(JobClient* client, Rng* rng) {
  std::string id, name;
  {
    std::lock_guard lock(mu_);
    std::vector<const Entry*> open;
    for (const std::string& request : order_) {
      const Entry& e = entries_.at(request);
      if (!e.name.empty() && !e.cancel_acked && !IsFinalState(e.seen.state)) open.push_back(&e);
    }
    if (open.empty()) return;
    const Entry& chosen = *open[rng->Uniform(open.size())];
    id = chosen.request_id;
    name = chosen.name;
  }
  if (rng->Uniform(3) == 0) {
    {
      std::lock_guard lock(mu_);
      entries_.at(id).cancel_tried = true;
    }
    const auto job = client->Act(JobClient::Action::kCancel, name);
    if (!job.ok()) return;  // it may have happened all the same: the check allows both
    std::lock_guard lock(mu_);
    entries_.at(id).cancel_acked = true;
    entries_.at(id).cancelled = Now();
    entries_.at(id).cancelled_unix_nanos = Clock::Real()->UnixNanos();
    return;
  }
  if (rng->Uniform(2) == 0 && client->Act(JobClient::Action::kPause, name).ok()) {
    Pause(static_cast<int>(rng->Uniform(1500)));
    (void)client->Act(JobClient::Action::kResume, name);  // the end of the run resumes what is left
  }
}

void Load::Look(JobClient* client) {
  const auto jobs = client->List(kLooked, /*newest_first=*/true);
  if (!jobs.ok()) return;
  std::lock_guard lock(mu_);
  std::map<std::string, const JobView*> by_name;
  for (const JobView& job : *jobs) by_name[job.name] = &job;
  open_ = 0;
  for (auto& [id, entry] : entries_) {
    const auto found = by_name.find(entry.name);
    if (found != by_name.end()) entry.seen = *found->second;
    open_ += !IsFinalState(entry.seen.state);
  }
}

std::vector<Entry> Load::entries() {
  std::lock_guard lock(mu_);
  std::vector<Entry> out;
  for (const std::string& id : order_) out.push_back(entries_.at(id));
  return out;
}

void Load::Update(const Entry& entry) {
  std::lock_guard lock(mu_);
  entries_.at(entry.request_id) = entry;
}

std::vector<Entry> Load::Running() {
  std::vector<Entry> out;
  for (Entry& entry : entries()) {
    const std::string& state = entry.seen.state;
    if (state == "STARTING" || state == "RUNNING" || state == "FINALIZING" || state == "CANCELLING") {
      out.push_back(std::move(entry));
    }
  }
  return out;
}

void Load::Violation(const std::string& text) {
  std::lock_guard lock(mu_);
  violations_.push_back(text);
}

std::vector<std::string> Load::violations() {
  std::lock_guard lock(mu_);
  return violations_;
}

}  // namespace swage::chaos
