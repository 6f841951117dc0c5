#include "tests/sim/simulation.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "tests/sim/cluster.h"
#include "tests/sim/injector.h"

namespace swage::sim {
namespace {

// After the last fault everything must have ended within this.
constexpr int64_t kQuiet = 3 * kHour;
constexpr int64_t kLook = 5 * kSecond;
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
  size_t first_probe_ = 0;
  int64_t quiet_from_ = 0;
};

Simulation::Simulation(const SimOptions& options)
    : options_(options),
      world_(options.seed, options.traced),
      workload_(DrawWorkload(world_, options.hours, options.jobs_per_hour)) {
  acts_ = options.acts.value_or(workload_.acts);
  // Places for the probes, before anything keeps a pointer.
  first_probe_ = workload_.jobs.size();
  workload_.jobs.resize(first_probe_ + 64);
  cluster_ = std::make_unique<Cluster>(&world_, &workload_);
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
  const int64_t until = world_.now() + kQuiet;
  while (world_.now() < until && world_.violation().empty()) {
    if (cluster_->checker().AllOver()) return true;
    ResumePaused();
    RunFor(kLook);
  }
  return false;
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
  size_t next = first_probe_;
  for (const WorkerShape& shape : cluster_->shapes()) {
    for (int i = 0; i < shape.slots; ++i)
      workload_.jobs[next++] = SmallJob("t0", kGb, kProbeRun);
  }
  Probe(first_probe_, next);
  workload_.jobs[next] = SmallJob("t0", cluster_->shapes()[0].devices[0].total_bytes, kSecond);
  Probe(next, next + 1);
}

void Simulation::Probe(size_t from, size_t to) {
  for (size_t i = from; i < to; ++i) {
    cluster_->clients().Do({0, "submit", static_cast<int>(i)});
  }
  const int64_t until = world_.now() + kProbeWait;
  size_t most = 0;
  while (world_.violation().empty() && world_.now() < until) {
    if (!world_.Step()) break;
    size_t running = 0;
    for (const auto& worker : cluster_->workers()) running += worker->computing();
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
  cluster_->Start();
  RunFor(static_cast<int64_t>(options_.hours * static_cast<double>(kHour)));
  world_.EndFaults();
  cluster_->Calm();
  world_.Note("the last fault is over");
  quiet_from_ = world_.now();
  const bool over = RunUntilOver();
  const int64_t quiet = world_.now() - quiet_from_;
  if (over) AddProbes();
  SimResult result = Result();
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
  result.slot_seconds = checker.slot_seconds();
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
