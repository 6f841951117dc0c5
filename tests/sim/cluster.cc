#include "tests/sim/cluster.h"

#include <algorithm>

namespace swage::sim {
namespace {

constexpr int kWorkers = 5, kControls = 2;

}  // namespace

Cluster::Cluster(World* world, const Workload* workload, const Snapshot* snapshot)
    : world_(world),
      rng_(world->Stream("cluster")),
      network_(world),
      checker_(world) {
  DrawOptions(snapshot);
  state_ = std::make_unique<SimState>(world, &network_, &checker_, network_.Add("state"));
  artifacts_ =
      std::make_unique<SimArtifacts>(world, &network_, &checker_, network_.Add("artifacts"));
  const NodeId clients = network_.Add("clients");
  for (int i = 0; i < kControls; ++i) {
    const std::string name = Cat("control", i);
    controls_.push_back(std::make_unique<SimControl>(world, state_.get(), network_.Add(name), name));
  }
  clients_ = std::make_unique<SimClients>(world, &network_, &checker_, clients, &controls_, workload);
  machines_.resize(static_cast<size_t>(Between(&rng_, 1, 3)));
  for (size_t i = 0; i < machines_.size(); ++i) {
    const std::string name = Cat("scheduler", i);
    machines_[i].clock = std::make_unique<SimClock>(world);
    machines_[i].place = {network_.Add(name), machines_[i].clock.get(), name};
  }
  AddWorkers(workload, snapshot);
  operator_ = std::make_unique<SimOperator>(world, [this] { return Leader(); });
  state_->OnEvents([this] {
    for (const Machine& machine : machines_) {
      if (machine.process != nullptr) machine.process->Wake();
    }
  });
}

// The product's own times, or shorter ones, with which more happens.
void Cluster::DrawOptions(const Snapshot* snapshot) {
  options_.lease_ms = Chance(&rng_, 0.5) ? 10000 : 2000;
  if (Chance(&rng_, 0.7)) {
    options_.min_runtime_ms = 5000;
    options_.stop_grace_ms = 5000;
    options_.gang_barrier_ms = 15000;
    options_.usage_half_life_seconds = 600;
  }
  if (snapshot != nullptr) {
    options_ = {};
    options_.lease_ms = snapshot->lease_ms;
  }
  checker_.SetStopGrace(options_.stop_grace_ms);
}

void Cluster::AddWorkers(const Workload* workload, const Snapshot* snapshot) {
  WorkerWorld around{world_, &network_, &checker_, artifacts_.get(), workload, {}, {}, {}};
  around.checkpoints = std::make_shared<std::map<std::string, int>>();
  for (const Machine& machine : machines_) around.schedulers.push_back(machine.place.node);
  around.scheduler_at = [this](NodeId node) -> std::shared_ptr<SimScheduler> {
    for (const Machine& machine : machines_) {
      const bool lives = machine.process != nullptr && machine.process->alive();
      if (machine.place.node == node && lives) return machine.process;
    }
    return nullptr;
  };
  if (snapshot != nullptr) {
    for (WorkerShape shape : snapshot->workers) {
      shape.node = network_.Add(shape.id);
      shapes_.push_back(std::move(shape));
    }
  }
  for (int i = 0; i < kWorkers && snapshot == nullptr; ++i) shapes_.push_back(DrawWorker(i));
  for (const WorkerShape& shape : shapes_)
    workers_.push_back(std::make_unique<SimWorker>(around, shape));
}

// The first has most memory, and the last two have devices.
WorkerShape Cluster::DrawWorker(int number) {
  WorkerShape shape;
  shape.id = Cat("worker", number);
  shape.node = network_.Add(shape.id);
  shape.slots = static_cast<int>(Between(&rng_, 1, 4));
  const uint64_t bytes = (number == 0 ? 16 : 6 + rng_.Uniform(10)) * kGb;
  shape.devices = {{"cpu0", "cpu", "", bytes}};
  shape.methods = {"rtn/1"};
  if (number % 2 == 0) shape.methods.push_back("gptq/2");
  if (number < kWorkers - 2) return shape;
  for (int i = 0; i < 2; ++i)
    shape.devices.push_back({Cat("cuda", i), "cuda", "", (number == kWorkers - 1 ? 40 : 24) * kGb});
  shape.features = {"sm_80"};
  if (number == kWorkers - 1) shape.features.push_back("sm_90");
  return shape;
}

void Cluster::Start() {
  for (size_t i = 0; i < machines_.size(); ++i) Supervise(i);
  for (const auto& worker : workers_) worker->Start();
  operator_->Start();
}

void Cluster::StartScheduler(Machine* machine) {
  machine->process =
      std::make_shared<SimScheduler>(world_, &network_, &checker_, state_.get(), artifacts_.get(),
                                     machine->place, ++machine->starts, options_);
  world_->Note(machine->place.name, " starts");
  machine->process->Start();
}

void Cluster::Supervise(size_t index) {
  Machine& machine = machines_[index];
  if (machine.process == nullptr || !machine.process->alive()) StartScheduler(&machine);
  world_->After(Between(&rng_, kSecond / 10, 5 * kSecond), [this, index] { Supervise(index); });
}

std::shared_ptr<SimScheduler> Cluster::Leader() {
  for (const Machine& machine : machines_) {
    if (machine.process != nullptr && machine.process->leads()) return machine.process;
  }
  return nullptr;
}

void Cluster::Calm() {
  network_.Calm();
  state_->Calm();
  artifacts_->Calm();
  for (const auto& worker : workers_) worker->Calm();
  operator_->Calm();
}

}  // namespace swage::sim
