// Faults, rounds of them, done to real daemons under load; then everything that was acknowledged is checked.
//
//   swage-chaos --bin build/ci/bin [--rounds 100] [--seed N] [--state sqlite|redis] [--lease-ms 2000] [--workers 3]
//       [--faults "kill leader,rpc-dup"] [--open 8]
//
// Each round draws one to three of: kill -9 and SIGSTOP (shorter and longer than the lease) of a worker, of a worker
// with its jobs, of a job's process, of the leading and the standby scheduler, control, the store and Redis; RPCs
// dropped, their answers lost, delayed, doubled. Prints what each kind of fault met, and how long leadership was away.
// Exit 1 when an acknowledged request has not exactly one job, a job did not end as it may, a result is doubled, half or
// different, events have a gap, or a takeover took longer than 10 s: then with the story of each such job.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/clock.h"
#include "base/env.h"
#include "clients/cli/admin_client.h"
#include "tests/chaos/check.h"
#include "tests/chaos/cluster.h"
#include "tests/chaos/faults_plan.h"
#include "tests/chaos/load.h"
#include "tests/tools/make_model.h"

namespace swage::chaos {
namespace {

constexpr int kTickMs = 50, kSettleMs = 1000, kTakeoverMs = 10000, kLeaderPatienceMs = 250;

struct Options {
  std::string bin, text = "tests/data/texts/tinystories-val-160k.txt";
  int rounds = 100, lease_ms = 2000, workers = 3, open = 8;
  uint64_t seed = 1;
  bool redis = false;
  std::vector<std::string> only;
  MakeModelOptions model{.hidden = 128, .ffn = 256, .layers = 4, .heads = 4, .kv_heads = 2};
};

std::string StageKind(const Entry& entry) {
  const std::string& stage = entry.seen.progress.stage;
  return stage.empty() ? "starting" : stage.substr(0, stage.find('['));
}

void SleepMs(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

// A fault that is on, or will be.
struct Due {
  Milliseconds at = 0;
  bool end = false;
  Fault fault;
  std::string part;  // that it was done to
};

// A worker that was killed, and what ran on it.
struct WorkerKill {
  int64_t unix_nanos = 0;
  std::vector<std::string> jobs;
};

class Chaos {
 public:
  explicit Chaos(const Options& options) : options_(options), rng_(options.seed), dir_("swage-chaos") {}

  Status Prepare() {
    const std::string data = JoinPath(dir_.path(), "data"), model = JoinPath(dir_.path(), "model");
    SWAGE_RETURN_IF_ERROR(Env::Posix()->CreateDirs(data, 0700));
    SWAGE_RETURN_IF_ERROR(MakeModel(model, options_.model));
    ClusterOptions cluster{options_.bin, data, options_.redis, options_.lease_ms, options_.workers, 2,
                           "stage_inputs:100,load:150,block:250,evaluate:150,encode:150,upload:150,commit:150"};
    SWAGE_ASSIGN_OR_RETURN(cluster_, Cluster::Start(cluster));
    // Before the first call of ours: the clients' RPCs meet faults too.
    setenv("SWAGE_RPC_FAULTS", Cat("@", cluster_->FaultFile("client")).c_str(), 1);
    ArtifactClient store(cluster_->address("store"), "default");
    SWAGE_RETURN_IF_ERROR(store.UploadFolder(model, "model", "models/chaos", nullptr).status());
    SWAGE_ASSIGN_OR_RETURN(const Digest text, store.UploadFile(options_.text, "chaos-text"));
    Load::Options load{cluster_->control_address(), "models/chaos", text.Hex(), options_.seed, options_.open};
    load_ = std::make_unique<Load>(load);
    return load_->MakeReferences(dir_.path(), &store);
  }

  Status RunRounds() {
    load_->Begin();
    for (int round = 1; round <= options_.rounds; ++round) {
      SWAGE_RETURN_IF_ERROR(RunRound(round));
      if (round % 10 == 0) {
        std::printf("%5.0f s  %d rounds, %zu requests, %zu running\n", static_cast<double>(load_->Now()) / 1e3, round,
                    load_->entries().size(), load_->Running().size());
        std::fflush(stdout);
      }
    }
    AwaitTakeover();
    load_->End();
    return absl::OkStatus();
  }

  // True when all is well.
  bool Report() {
    CheckOptions check{cluster_->control_address(), cluster_->address("store"), dir_.path(), 240000, redis_kills_};
    const Findings found = Check(check, load_.get());
    PrintHistogram();
    std::printf("%d jobs: %d succeeded, %d cancelled, %d not run as the one before was cancelled; %llu requests sent twice\n",
                found.jobs, found.succeeded, found.cancelled, found.failed_with_another,
                static_cast<unsigned long long>(load_->doubled()));
    std::printf("%d attempts, at most %d for one job; %d jobs retried after their budget; %d cancels came too late\n",
                found.attempts, found.most_attempts, found.again, found.late_cancels);
    std::printf("how attempts ended:");
    for (const auto& [reason, times] : found.attempts_by_reason) std::printf(" %s=%d", reason.c_str(), times);
    std::printf("\n%d results downloaded and equal to those of undisturbed runs; %d events read\n", found.downloads, found.events);
    if (options_.redis) {
      std::printf("lost with Redis's last second: %d jobs (made again by the same request id), %d cancels; %zu kills of Redis\n",
                  found.lost_suffix, found.undone_cancels, redis_kills_.size());
    }
    bool good = found.violations.empty();
    if (!takeovers_ms_.empty()) {
      std::sort(takeovers_ms_.begin(), takeovers_ms_.end());
      std::printf("leadership away: %zu times, median %lld ms, longest %lld ms (the leader killed or stopped for longer than half a "
                  "lease, and nothing else wrong)\n",
                  takeovers_ms_.size(), static_cast<long long>(takeovers_ms_[takeovers_ms_.size() / 2]),
                  static_cast<long long>(takeovers_ms_.back()));
      good = good && takeovers_ms_.back() <= kTakeoverMs;
    }
    PrintRestarts(found);
    std::printf("%d starts were given up, as what the part needs was not there; started again until it was\n",
                cluster_->refused_starts());
    for (const std::string& text : cluster_->crashes()) std::printf("VIOLATION: %s\n", text.c_str());
    good = good && cluster_->crashes().empty();
    for (const std::string& text : found.violations) std::printf("VIOLATION: %s\n", text.c_str());
    for (const std::string& id : found.bad_jobs) TellStory(id);
    if (good) {
      const Status stopped = cluster_->StopAll();
      if (!stopped.ok()) std::printf("VIOLATION: %s\n", MessageOf(stopped).c_str());
      good = stopped.ok();
    } else {
      TellLogs();
    }
    std::printf("%s\n", good ? "everything that was acknowledged holds" : "NOT GOOD");
    return good;
  }

 private:
  Status RunRound(int round) {
    FaultPlanOptions plan{options_.redis, options_.lease_ms, options_.only};
    const Milliseconds begin = load_->Now();
    std::vector<Due> due;
    const std::vector<Fault> faults = DrawRound(plan, &rng_);
    for (const Fault& fault : faults) due.push_back({begin + fault.at_ms, false, fault, ""});
    alone_ = faults.size() == 1;
    while (!due.empty()) {
      const auto next = std::min_element(due.begin(), due.end(), [](const Due& a, const Due& b) { return a.at < b.at; });
      if (next->at > load_->Now()) {
        SleepMs(kTickMs);
        cluster_->Supervise();
        LookForLeader();
        continue;
      }
      Due now = *next;
      due.erase(next);
      if (now.end) {
        EndFault(now);
      } else if (BeginFault(round, &now)) {
        due.push_back({load_->Now() + now.fault.for_ms, true, now.fault, now.part});
      }
    }
    SWAGE_RETURN_IF_ERROR(cluster_->AwaitReady());
    AwaitTakeover();
    SleepMs(kSettleMs);
    return absl::OkStatus();
  }

  // The part a fault is for; "" when there is none now.
  std::string PartOf(const Fault& fault) {
    if (fault.target == "leader" || fault.target == "standby") {
      const std::string leader = Leader();
      if (leader.empty()) return "";
      const std::string other = leader == "scheduler-a" ? "scheduler-b" : "scheduler-a";
      return fault.target == "leader" ? leader : other;
    }
    const std::vector<std::string> workers = cluster_->workers();
    if (fault.target == "worker" || fault.target == "machine") return workers[fault.choice % workers.size()];
    if (fault.target == "child") {
      for (size_t i = 0; i < workers.size(); ++i) {
        const std::string& worker = workers[(fault.choice + i) % workers.size()];
        if (!cluster_->Children(worker).empty()) return worker;
      }
      return "";
    }
    return fault.target;
  }

  bool BeginFault(int round, Due* due) {
    const Fault& fault = due->fault;
    due->part = PartOf(fault);
    if (due->part.empty()) return false;
    Note(round, fault, due->part);
    if (fault.name == "kill worker" && alone_) NoteKill(due->part);
    const bool leader = fault.target == "leader" && fault.for_ms > options_.lease_ms / 2;
    if (leader && alone_) away_since_ = load_->Now(), away_ = due->part;
    switch (fault.kind) {
      case Fault::Kind::kKill:
        if (due->part == "redis") redis_kills_.push_back(load_->Now());
        if (fault.target == "child") {
          for (const pid_t pid : cluster_->Children(due->part)) kill(pid, SIGKILL);
          return false;  // starting it again is the worker's business
        }
        cluster_->Kill(due->part);
        return true;
      case Fault::Kind::kStop:
        if (fault.target == "child") {
          stopped_children_ = cluster_->Children(due->part);
          for (const pid_t pid : stopped_children_) kill(pid, SIGSTOP);
        } else {
          cluster_->Signal(due->part, SIGSTOP, fault.target == "machine");
        }
        return true;
      case Fault::Kind::kRpc:
        for (const std::string& part : cluster_->parts()) cluster_->SetFaults(part, fault.rpc);
        cluster_->SetFaults("client", fault.rpc);
        return true;
    }
    return false;
  }

  void EndFault(const Due& due) {
    switch (due.fault.kind) {
      case Fault::Kind::kKill: return cluster_->Raise(due.part);
      case Fault::Kind::kStop:
        if (due.fault.target == "child") {
          for (const pid_t pid : stopped_children_) kill(pid, SIGCONT);
        } else {
          cluster_->Signal(due.part, SIGCONT, due.fault.target == "machine");
        }
        return;
      case Fault::Kind::kRpc:
        for (const std::string& part : cluster_->parts()) cluster_->SetFaults(part, "");
        cluster_->SetFaults("client", "");
    }
  }

  // What the fault meets: the stages of the jobs that run, of a worker's only when it is a worker's fault.
  void Note(int round, const Fault& fault, const std::string& part) {
    const std::string worker = StartsWith(part, "worker") ? cluster_->worker_id(part) : "";
    std::map<std::string, int> met;
    for (const Entry& entry : load_->Running()) {
      const auto& attempts = entry.seen.attempts;
      if (!worker.empty() && (attempts.empty() || attempts.back().worker != worker)) continue;
      ++met[StageKind(entry)];
    }
    if (met.empty()) met["nothing"] = 1;
    std::vector<std::string> words;
    for (const auto& [stage, times] : met) {
      histogram_[fault.name][stage] += times;
      words.push_back(Cat(stage, "=", times));
    }
    ++hits_[fault.name];
    log_.push_back({load_->Now(), Cat("round ", round, ": ", fault.name, " (", part, ") for ", fault.for_ms, " ms; ",
                                      Join(words, " "))});
  }

  void NoteKill(const std::string& part) {
    WorkerKill& noted = worker_kills_.emplace_back();
    noted.unix_nanos = Clock::Real()->UnixNanos();
    for (const Entry& entry : load_->Running()) {
      const auto& attempts = entry.seen.attempts;
      if (!attempts.empty() && attempts.back().worker == cluster_->worker_id(part)) noted.jobs.push_back(entry.name);
    }
  }

  // How long after its worker's death a job ran again; of those that nobody paused or cancelled meanwhile.
  void PrintRestarts(const Findings& found) const {
    std::vector<int64_t> waits_ms;
    for (const WorkerKill& noted : worker_kills_) {
      for (const std::string& name : noted.jobs) {
        const auto job = found.ended.find(name);
        if (job == found.ended.end()) continue;
        const auto& attempts = job->second.attempts;
        for (size_t i = 0; i + 1 < attempts.size(); ++i) {
          const bool hit = attempts[i].start_unix_nanos < noted.unix_nanos && attempts[i].end_unix_nanos >= noted.unix_nanos;
          if (!hit || !StartsWith(attempts[i].reason, "WORKER_")) continue;
          waits_ms.push_back((attempts[i + 1].start_unix_nanos - noted.unix_nanos) / 1000000);
        }
      }
    }
    if (waits_ms.empty()) return;
    std::sort(waits_ms.begin(), waits_ms.end());
    std::printf("a killed worker's job ran again: %zu times, median %lld ms, longest %lld ms after the kill\n", waits_ms.size(),
                static_cast<long long>(waits_ms[waits_ms.size() / 2]), static_cast<long long>(waits_ms.back()));
  }

  // The scheduler that leads, "" when none does or none can be asked.
  std::string Leader() {
    for (const char* part : {"scheduler-a", "scheduler-b"}) {
      if (part == away_) continue;
      AdminClientOptions options;
      options.addresses = [&]() -> StatusOr<std::string> { return cluster_->address(part); };
      options.patience_ms = kLeaderPatienceMs;
      if (AdminClient(std::move(options)).Stats().ok()) return part;
    }
    return "";
  }

  void LookForLeader() {
    if (away_.empty() || Leader().empty()) return;
    takeovers_ms_.push_back(load_->Now() - away_since_);
    away_.clear();
  }

  void AwaitTakeover() {
    const Milliseconds give_up = load_->Now() + 2 * kTakeoverMs;
    while (!away_.empty() && load_->Now() < give_up) {
      LookForLeader();
      SleepMs(kTickMs);
    }
    if (!away_.empty()) takeovers_ms_.push_back(load_->Now() - away_since_);
    away_.clear();
  }

  void PrintHistogram() const {
    std::vector<std::string> stages = {"nothing", "starting", "stage_inputs", "load", "block", "evaluate", "encode",
                                       "upload", "commit"};
    std::printf("\n%-20s %6s", "fault", "times");
    for (const std::string& stage : stages) std::printf(" %12s", stage.c_str());
    std::printf("\n");
    for (const auto& [name, met] : histogram_) {
      std::printf("%-20s %6d", name.c_str(), hits_.at(name));
      for (const std::string& stage : stages) {
        const auto times = met.find(stage);
        std::printf(" %12d", times == met.end() ? 0 : times->second);
      }
      std::printf("\n");
    }
    std::printf("(the jobs that ran when the fault began, by stage)\n\n");
  }

  void TellStory(const std::string& request_id) {
    for (const Entry& entry : load_->entries()) {
      if (entry.request_id != request_id) continue;
      std::printf("\nStory of %s, variant %d, submitted at %lld ms, acknowledged at %lld ms%s\n", request_id.c_str(),
                  entry.variant, static_cast<long long>(entry.submitted), static_cast<long long>(entry.acked),
                  entry.cancel_acked ? Cat(", cancelled at ", entry.cancelled, " ms").c_str() : "");
      if (!entry.name.empty()) std::printf("%s", StoryOf(cluster_->control_address(), entry.name).c_str());
      for (const auto& [at, text] : log_) {
        if (at >= entry.submitted - 5000) std::printf("  %8lld ms  %s\n", static_cast<long long>(at), text.c_str());
      }
    }
  }

  void TellLogs() {
    for (const std::string& part : cluster_->parts()) {
      const auto text = ReadFile(Env::Posix(), cluster_->log(part), 64 << 20);
      if (!text.ok()) continue;
      const size_t from = text->size() > 3000 ? text->size() - 3000 : 0;
      std::printf("\n--- end of %s's log\n%s", part.c_str(), text->substr(from).c_str());
    }
  }

  const Options options_;
  Rng rng_;
  TempDir dir_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Load> load_;
  std::map<std::string, std::map<std::string, int>> histogram_;  // fault -> stage
  std::map<std::string, int> hits_;
  std::vector<std::pair<Milliseconds, std::string>> log_;
  std::vector<Milliseconds> redis_kills_, takeovers_ms_;
  std::vector<WorkerKill> worker_kills_;
  std::vector<pid_t> stopped_children_;
  bool alone_ = false;
  std::string away_;  // the leader that was taken, until another leads
  Milliseconds away_since_ = 0;
};

int Main(const Options& options) {
  Chaos chaos(options);
  Status status = chaos.Prepare();
  if (status.ok()) status = chaos.RunRounds();
  if (!status.ok()) {
    std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
    return 1;
  }
  return chaos.Report() ? 0 : 1;
}

int Usage() {
  std::fprintf(stderr,
               "usage: swage-chaos --bin DIR [--rounds N] [--seed N] [--state sqlite|redis] [--lease-ms N] [--workers N] "
               "[--open N] [--faults \"name,name\"]\nfaults:\n");
  for (const Fault& fault : AllFaults({true, 0, {}})) std::fprintf(stderr, "  %s\n", fault.name.c_str());
  return 2;
}

}  // namespace
}  // namespace swage::chaos

int main(int argc, char** argv) {
  swage::chaos::Options options;
  const std::map<std::string, int*> numbers = {{"--rounds", &options.rounds}, {"--lease-ms", &options.lease_ms},
                                               {"--workers", &options.workers}, {"--open", &options.open}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--bin") options.bin = value;
    else if (name == "--seed") options.seed = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "--state" && (value == "redis" || value == "sqlite")) options.redis = value == "redis";
    else if (name == "--faults") options.only = swage::Split(value, ',');
    else if (numbers.count(name)) *numbers.at(name) = std::atoi(value.c_str());
    else return swage::chaos::Usage();
  }
  const auto possible = swage::chaos::AllFaults({options.redis, options.lease_ms, options.only});
  const bool unknown = possible.size() < options.only.size() || possible.empty();
  if (options.bin.empty() || argc % 2 == 0 || unknown || options.rounds < 1 || options.workers < 1) {
    return swage::chaos::Usage();
  }
  return swage::chaos::Main(options);
}
