// Kills parts of a running Swage with SIGKILL at every named stage of a job and checks that every job still ends
// SUCCEEDED with exactly one artifact, whose weights are those of an undisturbed run.
//
//   swage-kill-stages --bin build/ci/bin [--targets child,up,worker,store,scheduler,control,stopped] [--rounds 5]
//       [--hidden N --ffn N --layers N --heads N] [--stages load,block,...] [--lease-ms 1000] [--hold-ms 700] [--seed N]
//
// "stopped" is the zombie: a worker is stopped (SIGSTOP) in a stage until its lease is long over and a second worker has
// finished the job, then goes on (SIGCONT); it must not publish. Prints, per target, where the kills hit. Exit 1 when a job was lost or doubled, or a stage was never hit.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/digest.h"
#include "base/env.h"
#include "base/rng.h"
#include "tests/chaos/job_watch.h"
#include "tests/tools/make_model.h"

namespace swage::chaos {
namespace {

using Json = nlohmann::json;

struct Options {
  std::string bin, text = "tests/data/texts/tinystories-val-160k.txt";
  std::vector<std::string> targets = {"child", "up", "worker", "store", "scheduler", "control", "stopped"};
  std::vector<std::string> stages = {"queued", "stage_inputs", "load", "block", "evaluate", "encode", "upload", "commit"};
  int rounds = 1, lease_ms = 1000, hold_ms = 700, kills_per_job = 4, job_timeout_ms = 600000, windows = 8;
  uint64_t seed = 1;
  MakeModelOptions model{.hidden = 256, .ffn = 512, .layers = 4, .heads = 4, .kv_heads = 2};
};

std::string Kind(const std::string& stage) { return stage.substr(0, stage.find('[')); }

// What one target's rounds found.
struct Tally {
  std::map<std::string, int> hits;  // by the stage that the job was in when the signal was sent
  int jobs = 0, kills = 0, lost = 0, doubled = 0, differing = 0;
};

class KillTest {
 public:
  explicit KillTest(const Options& options) : options_(options), rng_(options.seed), dir_("swage-kill") {}

  Status Prepare() {
    SWAGE_RETURN_IF_ERROR(MakeModel(JoinPath(dir_.path(), "model"), options_.model));
    SWAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(Env::Posix(), options_.text, 1 << 30));
    SWAGE_RETURN_IF_ERROR(WriteFileAtomic(Env::Posix(), JoinPath(dir_.path(), "text.txt"), text));
    return WriteFileAtomic(Env::Posix(), JoinPath(dir_.path(), "recipe.yaml"),
                           Cat("steps:\n- {kind: quantize, method: rtn, format: int4, granularity: group, group_size: 128, "
                               "symmetric: true, ignore: [lm_head]}\n",
                               "evaluate: {text: text.txt, window: 256, max_windows: ", options_.windows, "}\n"));
  }

  StatusOr<Tally> RunTarget(Target target) {
    PlatformOptions platform_options{options_.bin, JoinPath(dir_.path(), Cat("data-", TargetName(target))),
                                     options_.lease_ms, Hold()};
    SWAGE_RETURN_IF_ERROR(Env::Posix()->CreateDirs(platform_options.data_dir, 0700));
    const bool embedded = target == Target::kUp || target == Target::kChild;
    SWAGE_ASSIGN_OR_RETURN(platform_, embedded ? Platform::StartEmbedded(platform_options)
                                               : Platform::StartSplit(platform_options));
    SWAGE_RETURN_IF_ERROR(platform_->Cli({"upload", JoinPath(dir_.path(), "model"), "--as", "models/kill"}).status());
    if (reference_ == Digest()) SWAGE_RETURN_IF_ERROR(MakeReference());
    std::map<std::string, int> wanted;
    for (const std::string& stage : options_.stages) wanted[stage] = options_.rounds;
    Tally tally;
    const int most_jobs = 3 * options_.rounds * static_cast<int>(options_.stages.size());
    while (!wanted.empty() && tally.jobs < most_jobs) SWAGE_RETURN_IF_ERROR(RunJob(target, &wanted, &tally));
    SWAGE_RETURN_IF_ERROR(platform_->StopAll());
    platform_.reset();
    return tally;
  }

  // One job per round and stage; the second worker takes over each time.
  StatusOr<Tally> RunStopped() {
    Tally tally;
    for (const std::string& stage : options_.stages) {
      if (stage == "queued") continue;
      for (int round = 0; round < options_.rounds; ++round) SWAGE_RETURN_IF_ERROR(StopInStage(stage, &tally));
    }
    return tally;
  }

  double reference_seconds() const { return reference_seconds_; }

 private:
  std::string Hold() const {
    std::vector<std::string> parts;
    for (const char* stage : {"stage_inputs", "load", "block", "evaluate", "encode", "upload", "commit"}) {
      parts.push_back(Cat(stage, ":", options_.hold_ms));
    }
    return Join(parts, ",");
  }

  Status StopInStage(const std::string& stage, Tally* tally) {
    TempDir data("swage-stopped");
    SWAGE_ASSIGN_OR_RETURN(platform_, Platform::StartSplit({options_.bin, data.path(), options_.lease_ms, Hold()}));
    SWAGE_RETURN_IF_ERROR(platform_->Cli({"upload", JoinPath(dir_.path(), "model"), "--as", "models/kill"}).status());
    if (reference_ == Digest()) SWAGE_RETURN_IF_ERROR(MakeReference());
    SWAGE_ASSIGN_OR_RETURN(const std::string job, Submit());
    ++tally->jobs;
    JobWatch watch(platform_.get(), job);
    const std::string exact = stage == "block" ? Cat("block[", rng_.Uniform(options_.model.layers), "]") : stage;
    watch.Await(options_.job_timeout_ms, [&](const JobPosition& p) { return p.final() || p.stage == exact; });
    const JobPosition at = watch.Now();
    platform_->Signal(Target::kWorker, SIGSTOP);
    if (!at.final()) ++tally->kills, ++tally->hits[Kind(at.stage)];
    SWAGE_RETURN_IF_ERROR(platform_->Restart(Target::kSecondWorker));
    watch.Await(options_.job_timeout_ms, [&](const JobPosition& p) { return p.final(); });
    SWAGE_ASSIGN_OR_RETURN(const std::vector<std::string> before, ArtifactsOf(job));
    platform_->Signal(Target::kWorker, SIGCONT);
    SWAGE_RETURN_IF_ERROR(Conclude(job, &watch, tally));
    // The zombie has said all that it had to say once the scheduler hears it again and it runs nothing.
    SWAGE_RETURN_IF_ERROR(AwaitBothWorkersIdle());
    SWAGE_ASSIGN_OR_RETURN(const std::vector<std::string> after, ArtifactsOf(job));
    if (after != before) ++tally->doubled;
    return platform_->StopAll();
  }

  Status AwaitBothWorkersIdle() {
    for (int i = 0; i < 200; ++i) {
      SWAGE_ASSIGN_OR_RETURN(const std::string text, platform_->Cli({"workers"}));
      const Json list = Json::parse(text, nullptr, false);
      int idle = 0;
      for (const Json& worker : list.value("workers", Json::array())) {
        idle += worker.value("connected", false) && worker.value("jobs", Json::array()).empty();
      }
      if (idle == 2) return absl::OkStatus();
    }
    return Internal("the two workers did not become idle");
  }

  StatusOr<std::string> Submit() {
    SWAGE_ASSIGN_OR_RETURN(const std::string text, platform_->Cli({"submit", "--no-cache", JoinPath(dir_.path(), "recipe.yaml"),
                                                                   "--model", "models/kill", "--request-id", RandomHex(8)}));
    const Json job = Json::parse(text, nullptr, false);
    if (!job.is_object() || !job.contains("name")) return Internal(Cat("submit printed ", text));
    return job["name"].get<std::string>();
  }

  Status MakeReference() {
    SWAGE_ASSIGN_OR_RETURN(const std::string job, Submit());
    const auto start = std::chrono::steady_clock::now();
    JobWatch watch(platform_.get(), job);
    if (!watch.Await(options_.job_timeout_ms, [](const JobPosition& p) { return p.final(); })) {
      return Internal("the undisturbed job did not end");
    }
    reference_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::vector<std::string> artifacts;
    SWAGE_ASSIGN_OR_RETURN(artifacts, ArtifactsOf(job));
    if (artifacts.size() != 1) return Internal(Cat("the undisturbed job has ", artifacts.size(), " artifacts"));
    SWAGE_ASSIGN_OR_RETURN(reference_, WeightsOf(artifacts[0]));
    return absl::OkStatus();
  }

  StatusOr<std::vector<std::string>> ArtifactsOf(const std::string& job) {
    SWAGE_ASSIGN_OR_RETURN(const std::string text, platform_->Cli({"artifacts"}));
    const Json list = Json::parse(text, nullptr, false);
    std::vector<std::string> out;
    if (!list.is_object()) return Internal(Cat("artifacts printed ", text));
    for (const Json& artifact : list["artifacts"]) {
      const std::string made_by = artifact.value("job", "");
      if (!made_by.empty() && (made_by == job || Cat("jobs/", made_by) == job)) out.push_back(artifact["id"]);
    }
    return out;
  }

  StatusOr<Digest> WeightsOf(const std::string& artifact) {
    TempDir dir("swage-kill-download");
    SWAGE_RETURN_IF_ERROR(platform_->Cli({"download", artifact, JoinPath(dir.path(), "artifact")}).status());
    SWAGE_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(JoinPath(dir.path(), "artifact/model.safetensors")));
    return Sha256Of(file.bytes());
  }

  // Lets a job pass through its stages and kills `target` in those that are still wanted.
  Status RunJob(Target target, std::map<std::string, int>* wanted, Tally* tally) {
    SWAGE_ASSIGN_OR_RETURN(const std::string job, Submit());
    ++tally->jobs;
    JobWatch watch(platform_.get(), job);
    int kills = 0;
    for (const std::string& stage : options_.stages) {
      if (kills >= options_.kills_per_job || wanted->count(stage) == 0) continue;
      const std::string exact = stage == "block" ? Cat("block[", rng_.Uniform(options_.model.layers), "]") : stage;
      const auto reached = [&](const JobPosition& p) { return p.final() || p.stage == exact; };
      if (!watch.Await(options_.job_timeout_ms, reached) || watch.Now().final()) break;
      // "queued" lasts a few milliseconds, and has no hold.
      if (stage != "queued") Pause(static_cast<int>(rng_.Uniform(options_.hold_ms * 3 / 4 + 1)), watch, exact);
      const JobPosition at = watch.Now();
      if (at.final()) break;
      if (!platform_->Kill(target)) continue;  // no child runs in this stage
      ++kills;
      ++tally->kills;
      ++tally->hits[Kind(at.stage)];
      auto it = wanted->find(Kind(at.stage));
      if (it != wanted->end() && --it->second <= 0) wanted->erase(it);
      SWAGE_RETURN_IF_ERROR(platform_->Restart(target));
      if (target == Target::kChild || target == Target::kUp || target == Target::kWorker) {
        watch.Await(options_.job_timeout_ms, [&](const JobPosition& p) { return p.final() || p.epoch > at.epoch; });
      }
    }
    if (target == Target::kChild) DropUnreachable(wanted);
    return Conclude(job, &watch, tally);
  }

  // Stages in which no child process exists: the daemon itself stages inputs, uploads and commits.
  static void DropUnreachable(std::map<std::string, int>* wanted) {
    for (const char* stage : {"queued", "stage_inputs", "upload", "commit"}) wanted->erase(stage);
  }

  void Pause(int ms, JobWatch& watch, const std::string& stage) {
    watch.Await(ms, [&](const JobPosition& p) { return p.stage != stage; });
  }

  Status Conclude(const std::string& job, JobWatch* watch, Tally* tally) {
    watch->Await(options_.job_timeout_ms, [](const JobPosition& p) { return p.final(); });
    const std::string state = watch->Now().state;
    StatusOr<std::vector<std::string>> artifacts = ArtifactsOf(job);
    for (int i = 0; i < 50 && !artifacts.ok(); ++i) artifacts = ArtifactsOf(job);  // a part may still be starting
    if (!artifacts.ok()) return artifacts.status();
    if (state != "SUCCEEDED" || artifacts->empty()) {
      ++tally->lost;
      const auto shown = platform_->Cli({"job", job});
      std::printf("LOST %s: %s\n", job.c_str(), shown.ok() ? shown->c_str() : MessageOf(shown.status()).c_str());
      return absl::OkStatus();
    }
    if (artifacts->size() > 1) ++tally->doubled;
    SWAGE_ASSIGN_OR_RETURN(const Digest weights, WeightsOf((*artifacts)[0]));
    if (weights != reference_) ++tally->differing;
    return absl::OkStatus();
  }

  Options options_;
  Rng rng_;
  TempDir dir_;
  std::unique_ptr<Platform> platform_;
  Digest reference_;
  double reference_seconds_ = 0;
};

bool Report(const char* target, const Tally& tally, const Options& options) {
  bool complete = true;
  std::printf("%-10s %3d jobs %3d kills  %d lost %d doubled %d differing  hits:", target, tally.jobs, tally.kills,
              tally.lost, tally.doubled, tally.differing);
  for (const std::string& stage : options.stages) {
    const auto it = tally.hits.find(stage);
    const int hits = it == tally.hits.end() ? 0 : it->second;
    std::printf(" %s=%d", stage.c_str(), hits);
    if (std::string(target) == "stopped" && stage == "queued") continue;
    const bool no_child = std::string(target) == "child" && (stage == "queued" || stage == "stage_inputs" ||
                                                             stage == "upload" || stage == "commit");
    if (hits < options.rounds && !no_child) complete = false;
  }
  std::printf("%s\n", complete ? "" : "   (a stage was hit too rarely)");
  std::fflush(stdout);
  return complete && tally.lost == 0 && tally.doubled == 0 && tally.differing == 0;
}

int Main(const Options& options) {
  KillTest test(options);
  if (const Status status = test.Prepare(); !status.ok()) {
    std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
    return 1;
  }
  bool good = true;
  for (const std::string& name : options.targets) {
    if (name == "stopped") {
      const StatusOr<Tally> tally = test.RunStopped();
      if (!tally.ok()) {
        std::fprintf(stderr, "error: stopped: %s\n", MessageOf(tally.status()).c_str());
        return 1;
      }
      good = Report("stopped", *tally, options) && good;
      continue;
    }
    for (const Target target : {Target::kChild, Target::kUp, Target::kWorker, Target::kStore, Target::kScheduler,
                                Target::kControl}) {
      if (name != TargetName(target)) continue;
      const StatusOr<Tally> tally = test.RunTarget(target);
      if (!tally.ok()) {
        std::fprintf(stderr, "error: %s: %s\n", name.c_str(), MessageOf(tally.status()).c_str());
        return 1;
      }
      good = Report(name.c_str(), *tally, options) && good;
    }
  }
  std::printf("an undisturbed job takes %.1f s here\n%s\n", test.reference_seconds(),
              good ? "0 lost, 0 doubled, every stage hit" : "NOT GOOD");
  return good ? 0 : 1;
}

}  // namespace
}  // namespace swage::chaos

int main(int argc, char** argv) {
  swage::chaos::Options options;
  const std::map<std::string, int*> numbers = {{"--rounds", &options.rounds}, {"--lease-ms", &options.lease_ms},
      {"--hold-ms", &options.hold_ms}, {"--kills-per-job", &options.kills_per_job}, {"--windows", &options.windows}};
  const std::map<std::string, int64_t*> shape = {{"--hidden", &options.model.hidden}, {"--ffn", &options.model.ffn},
      {"--layers", &options.model.layers}, {"--heads", &options.model.heads}, {"--kv-heads", &options.model.kv_heads}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--bin") options.bin = value;
    else if (name == "--targets") options.targets = swage::Split(value, ',');
    else if (name == "--stages") options.stages = swage::Split(value, ',');
    else if (name == "--seed") options.seed = std::strtoull(value.c_str(), nullptr, 10);
    else if (numbers.count(name)) *numbers.at(name) = std::atoi(value.c_str());
    else if (shape.count(name)) *shape.at(name) = std::atoll(value.c_str());
    else { std::fprintf(stderr, "unknown option %s\n", name.c_str()); return 2; }
  }
  if (options.bin.empty() || argc % 2 == 0) {
    std::fprintf(stderr, "usage: swage-kill-stages --bin DIR [--targets a,b] [--stages a,b] [--rounds N] [--lease-ms N] "
                         "[--hold-ms N] [--kills-per-job N] [--windows N] [--hidden N] [--ffn N] [--layers N] [--heads N] "
                         "[--kv-heads N] [--seed N]\n");
    return 2;
  }
  return swage::chaos::Main(options);
}
