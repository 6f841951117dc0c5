#include "tests/sim/simulation.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "tests/sim/sim_worker.h"

namespace swage::sim {
namespace {

constexpr int kWorkers = 5;
constexpr uint64_t kGb = 1'000'000'000;
constexpr double kJobsPerHour = 1200, kFaultsPerHour = 150;
constexpr int64_t kQuiet =
    3 * 60 * kMinute;  // after the last fault everything must have ended within this

class Simulation {
 public:
  explicit Simulation(const SimOptions& options)
      : options_(options),
        world_(options.seed, options.traced),
        checker_(&world_),
        state_(&world_, &checker_),
        artifacts_(&world_, &checker_),
        lease_ms_(world_.Chance(0.5) ? 10000 : 2000) {}

  SimResult Run();

 private:
  void AddWorkers();
  void StartScheduler();
  std::shared_ptr<SimScheduler> FindScheduler();
  void Put(const Request& request);
  void SubmitLoop();
  void Ask();
  void FaultLoop();
  void Fault();
  void KeepSchedulerLoop();
  void Quieten();
  bool RunUntil(int64_t until, bool stop_when_over);
  int64_t Exponential(double per_hour);

  const SimOptions options_;
  World world_;
  Checker checker_;
  SimStateStore state_;
  SimArtifactStore artifacts_;
  const int64_t lease_ms_;
  std::vector<std::shared_ptr<SimScheduler>> schedulers_;
  std::vector<std::unique_ptr<SimWorker>> workers_;
  std::vector<std::string> jobs_;
  uint64_t requests_ = 0;
  int scheduler_count_ = 0;
};

int64_t Simulation::Exponential(double per_hour) {
  return static_cast<int64_t>(-std::log(1.0 - world_.rng().UniformDouble()) * 3600.0 / per_hour *
                              kSecond) +
         1;
}

void Simulation::AddWorkers() {
  for (int i = 0; i < kWorkers; ++i) {
    const uint64_t bytes = (i == 0 ? 16 : 4 + world_.rng().Uniform(12)) * kGb;
    workers_.push_back(std::make_unique<SimWorker>(
        &world_, &checker_, &artifacts_, [this] { return FindScheduler(); }, Cat("worker", i),
        bytes, static_cast<int>(world_.Between(1, 4))));
    workers_.back()->Start();
  }
}

void Simulation::StartScheduler() {
  auto scheduler = std::make_shared<SimScheduler>(&world_, Cat("scheduler", ++scheduler_count_),
                                                  &state_, &artifacts_, lease_ms_);
  schedulers_.push_back(scheduler);
  scheduler->Start();
}

// Whichever lives; while two do, a worker may still reach the old one.
std::shared_ptr<SimScheduler> Simulation::FindScheduler() {
  std::erase_if(schedulers_, [](const auto& s) { return !s->alive(); });
  if (schedulers_.empty()) return nullptr;
  return schedulers_[world_.rng().Uniform(schedulers_.size())];
}

void Simulation::Put(const Request& request) {
  std::string number = Cat(++requests_);
  number.insert(0, 12 - number.size(), '0');
  const std::string key = RequestKey(request.tenant, number);
  Transaction t;
  t.writes.push_back({key, 0, ToJson(request)});
  t.events.push_back({std::string(kRequestStream), key});
  if (state_.Apply(t) == ApplyResult::kOk && request.kind == "create") {
    checker_.Accepted(JobKey(request.tenant, request.job_id));
  }
}

void Simulation::SubmitLoop() {
  world_.After(Exponential(kJobsPerHour), [this] {
    if (!world_.faults()) return;
    std::string id = Cat(jobs_.size());
    id = Cat("job", std::string(6 - id.size(), '0'), id);
    jobs_.push_back(id);
    Request request;
    request.kind = "create";
    request.tenant = request.job.tenant = "t";
    request.job_id = request.job.id = id;
    request.job.priority = static_cast<int>(world_.Between(-1, 1));
    request.job.shape.methods = {"rtn"};
    request.job.shape.host_bytes = static_cast<uint64_t>(world_.Between(1, 6)) * kGb;
    request.job.create_unix_nanos = world_.now();
    Put(request);
    if (world_.Chance(0.25)) Ask();
    SubmitLoop();
  });
}

// Somebody changes their mind about one of the last jobs.
void Simulation::Ask() {
  static constexpr const char* kKinds[] = {"cancel", "cancel", "pause",
                                           "resume", "retry",  "delete"};
  const uint64_t back = world_.rng().Uniform(std::min<uint64_t>(jobs_.size(), 30));
  Request request;
  request.kind = kKinds[world_.Between(0, 5)];
  request.tenant = "t";
  request.job_id = jobs_[jobs_.size() - 1 - back];
  world_.Note("client asks to ", request.kind, " ", request.job_id);
  Put(request);
}

void Simulation::FaultLoop() {
  world_.After(Exponential(kFaultsPerHour), [this] {
    if (!world_.faults()) return;
    Fault();
    FaultLoop();
  });
}

void Simulation::Fault() {
  world_.CountFault();
  SimWorker& worker = *workers_[world_.rng().Uniform(workers_.size())];
  const bool longer = world_.Chance(0.5);  // than a lease, or not
  const int64_t lease = lease_ms_ * kMillisecond;
  const int64_t time =
      longer ? world_.Between(lease, 4 * lease) : world_.Between(kMillisecond, lease);
  switch (world_.Between(0, 5)) {
    case 0:
    case 1: return worker.Crash(time);
    case 2: return worker.Stop(time);
    case 3: {
      world_.Note(worker.id(), " is cut off for ", time / kMillisecond, " ms");
      world_.Cut(worker.id(), true);
      return world_.After(time, [this, id = worker.id()] { world_.Cut(id, false); });
    }
    case 4: {
      world_.Note("kill -9 of every scheduler");
      for (const auto& scheduler : schedulers_) scheduler->Kill();
      return;
    }
    case 5: {
      world_.Note("a second scheduler starts");
      return StartScheduler();
    }
  }
}

void Simulation::KeepSchedulerLoop() {
  if (FindScheduler() == nullptr) StartScheduler();
  world_.After(world_.Between(kSecond / 10, 5 * kSecond), [this] { KeepSchedulerLoop(); });
}

// The last fault is over: what is paused is resumed, again and again, as a request may still be on
// its way.
void Simulation::Quieten() {
  world_.SetFaults(false);
  for (const auto& [key, record] : checker_.records()) {
    if (record.state == JobState::kPaused)
      Put({"resume", record.job.tenant, record.job.id, "", {}});
  }
}

bool Simulation::RunUntil(int64_t until, bool stop_when_over) {
  int64_t next_look = world_.now();
  while (world_.now() < until && world_.violation().empty()) {
    if (!world_.Step()) return false;
    if (!stop_when_over || world_.now() < next_look) continue;
    next_look = world_.now() + 10 * kSecond;
    if (checker_.AllOver()) return true;
    Quieten();
  }
  return false;
}

SimResult Simulation::Run() {
  state_.OnEvents([this] {
    for (const auto& scheduler : schedulers_) scheduler->Wake();
  });
  KeepSchedulerLoop();
  AddWorkers();
  SubmitLoop();
  FaultLoop();
  RunUntil(world_.now() + static_cast<int64_t>(options_.hours * 60 * kMinute), false);
  Quieten();
  RunUntil(world_.now() + kQuiet, true);
  if (world_.violation().empty()) checker_.CheckEnd();
  SimResult result{world_.violation(),
                   checker_.accepted(),
                   world_.fault_count(),
                   world_.steps(),
                   0,
                   static_cast<double>(world_.now()) / (60.0 * kMinute),
                   world_.trace()};
  for (const auto& [key, record] : checker_.records())
    result.succeeded += record.state == JobState::kSucceeded;
  return result;
}

}  // namespace

SimResult Simulate(const SimOptions& options) { return Simulation(options).Run(); }

}  // namespace swage::sim
