#include "tests/sim/simulation.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "tests/sim/cluster.h"
#include "tests/sim/injector.h"

namespace swage::sim {
namespace {

// After the last fault everything must have ended within this; in a replay, after the last moment
// at which anything was computed.
constexpr int64_t kQuiet = 2 * kHour;
constexpr int64_t kLook = 5 * kSecond;
constexpr double kCrowded = 0.15;
constexpr const char* kCrowd = "crowd";
constexpr size_t kCrowdJobs = 25;
constexpr int64_t kProbeRun = 15 * kSecond, kProbeWait = 10 * kMinute;

class Simulation {
 public:
  explicit Simulation(const SimOptions& options);
  SimResult Run();

 private:
  void Plan();
  void RunFor(int64_t nanos);
  bool RunUntilOver();
  void ResumePaused();
  std::string FirstOpen() const;
  void AddToCrowd();
  size_t Computing() const;
  void AddProbes();
  void Probe(size_t from, size_t to);
  SimResult Result();

  const SimOptions options_;
  World world_;
  Workload workload_;
  std::vector<ClientAct> acts_;
  std::vector<Fault> injected_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Injector> injector_;
  bool crowded_ = false;
  int64_t quiet_from_ = 0;
};

Simulation::Simulation(const SimOptions& options)
    : options_(options),
      world_(options.seed, options.traced),
      workload_(options.workload.value_or(
          options.snapshot != nullptr
              ? WorkloadOf(*options.snapshot)
              : DrawWorkload(world_, options.hours, options.jobs_per_hour))) {
  acts_ = options.acts.value_or(workload_.acts);
  cluster_ = std::make_unique<Cluster>(&world_, &workload_, options.snapshot.get());
  Rng rng = world_.Stream("crowd");
  crowded_ = options.snapshot == nullptr && !options.workload.has_value() && Chance(&rng, kCrowded);
  injector_ = std::make_unique<Injector>(cluster_.get());
}

void Simulation::Plan() {
  for (const ClientAct& act : acts_) {
    world_.After(act.at, [this, act] { cluster_->clients().Do(act); });
  }
  const std::vector<Fault> faults = options_.faults.value_or(
      DrawFaults(world_, options_.hours, options_.profile, cluster_->lease_nanos()));
  for (const Fault& fault : faults) {
    world_.After(fault.at, [this, fault] {
      if (!world_.faults()) return;
      injected_.push_back(fault);
      injector_->Inject(fault);
    });
  }
}

void Simulation::RunFor(int64_t nanos) {
  const int64_t until = world_.now() + nanos;
  bool reached = false;
  world_.After(nanos, [&reached] { reached = true; });
  while (!reached && world_.now() <= until && world_.violation().empty() && world_.Step()) {
  }
}

bool Simulation::RunUntilOver() {
  int64_t until = world_.now() + kQuiet;
  while (world_.now() < until && world_.violation().empty()) {
    const std::string open = FirstOpen();
    if (open.empty() && crowded_) crowded_ = false;  // now the crowd may end as well
    if (open.empty() && cluster_->checker().AllOver()) return true;
    ResumePaused();
    if (crowded_) AddToCrowd();
    if (options_.snapshot != nullptr && Computing() > 0) until = world_.now() + kQuiet;
    RunFor(kLook);
  }
  return false;
}

// A job that is not over, of somebody else than the crowd; "" when there is none.
std::string Simulation::FirstOpen() const {
  for (const auto& [key, job] : cluster_->checker().jobs()) {
    if (!job.over() && SplitKey(key).tenant != kCrowd) return key;
  }
  return "";
}

// No starvation under any stream of arrivals (G12): one tenant always has jobs that wait, until all
// jobs of the others have ended.
void Simulation::AddToCrowd() {
  size_t open = 0;
  for (const auto& [key, job] : cluster_->checker().jobs())
    open += SplitKey(key).tenant == kCrowd && !job.over();
  for (; open < kCrowdJobs; ++open) {
    workload_.jobs.push_back(SmallJob(kCrowd, 2 * kGb, 10 * kSecond));
    const auto job = static_cast<int>(workload_.jobs.size()) - 1;
    cluster_->clients().Do({0, "submit", job});
  }
}

size_t Simulation::Computing() const {
  size_t computing = 0;
  for (const auto& worker : cluster_->workers()) computing += worker->computing();
  return computing;
}

void Simulation::ResumePaused() {
  for (const auto& [key, job] : cluster_->checker().jobs()) {
    if (job.recorded && job.state == JobState::kPaused)
      cluster_->clients().Ask("resume", job.tenant, std::string(SplitKey(key).name));
  }
}

// Is everything free again? As many small jobs as there are slots must all run at once, then one
// that needs all of the largest worker.
void Simulation::AddProbes() {
  RunFor(kMinute);  // who was away is back
  const size_t small = workload_.jobs.size();
  for (const WorkerShape& shape : cluster_->shapes()) {
    for (int i = 0; i < shape.slots; ++i)
      workload_.jobs.push_back(SmallJob("t0", kGb, kProbeRun));
  }
  const size_t large = workload_.jobs.size();
  Probe(small, large);
  workload_.jobs.push_back(
      SmallJob("t0", cluster_->shapes()[0].devices[0].total_bytes, kSecond));
  Probe(large, large + 1);
}

void Simulation::Probe(size_t from, size_t to) {
  for (size_t i = from; i < to; ++i) {
    cluster_->clients().Do({0, "submit", static_cast<int>(i)});
  }
  const int64_t until = world_.now() + kProbeWait;
  size_t most = 0;
  while (world_.violation().empty() && world_.now() < until) {
    if (!world_.Step()) break;
    const size_t running = Computing();
    most = std::max(most, running);
    if (most == to - from && running == 0) break;
  }
  if (most < to - from) {
    world_.Fail("leak", Cat("when all was over, ", to - from,
                            " jobs that fit together were submitted, and at most ", most,
                            " ran at once"));
  }
  RunFor(kLook);
}

SimResult Simulation::Run() {
  Plan();
  if (options_.snapshot != nullptr) AdoptSnapshot(*options_.snapshot, cluster_.get());
  cluster_->Start();
  RunFor(static_cast<int64_t>(options_.hours * static_cast<double>(kHour)));
  const auto slot_seconds = cluster_->checker().slot_seconds();
  world_.EndFaults();
  cluster_->Calm();
  world_.Note("the last fault is over");
  quiet_from_ = world_.now();
  const bool over = RunUntilOver();
  const int64_t quiet = world_.now() - quiet_from_;
  if (const std::string open = FirstOpen(); !over && !open.empty())
    cluster_->checker().FailAsOpen(&cluster_->state().records(), open);
  if (over && options_.snapshot == nullptr) AddProbes();
  SimResult result = Result();
  result.slot_seconds = slot_seconds;
  result.quiet_nanos = quiet;
  if (options_.planted_rule && options_.planted_rule(result))
    result.violation = {"planted", "by the test", world_.now()};
  return result;
}

SimResult Simulation::Result() {
  Checker& checker = cluster_->checker();
  if (world_.violation().empty()) checker.CheckEnd(&cluster_->state().records());
  SimResult result;
  result.violation = world_.violation();
  result.jobs = checker.acknowledged();
  result.faults = injector_->count();
  result.disturbed_messages = cluster_->network().disturbed();
  result.steps = world_.steps();
  for (const auto& [key, job] : checker.jobs()) {
    result.succeeded += job.recorded && job.state == JobState::kSucceeded;
    result.failed += job.recorded && job.state == JobState::kFailed;
    result.cancelled += job.recorded && job.state == JobState::kCancelled;
  }
  result.lost_writes = cluster_->state().lost_writes();
  result.vanished = checker.vanished();
  result.preemptions = checker.preemptions();
  result.gangs = checker.gangs();
  result.shared = checker.shared();
  for (const auto& [key, job] : checker.jobs()) {
    const auto start = checker.first_starts().find(key);
    if (start == checker.first_starts().end()) continue;
    result.ends[key] = Cat(JobStateName(job.state), ", began after ",
                           HumanSeconds(static_cast<double>(start->second.at - kSecond) / 1e9),
                           " on ", start->second.workers);
  }
  result.nanos = world_.now();
  result.trace = world_.trace();
  result.injected = injected_;
  result.acts = acts_;
  result.workload = workload_;
  return result;
}

}  // namespace

SimResult Simulate(const SimOptions& options) { return Simulation(options).Run(); }

}  // namespace swage::sim
