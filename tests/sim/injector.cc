#include "tests/sim/injector.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace swage::sim {
namespace {

constexpr double kWallHours = 3, kNoiseRate = 0.1;
constexpr const char* kReasons[] = {"CHILD_CRASHED",  "CHILD_KILLED",  "INTERNAL",
                                    "OOM_PREDICTION", "INPUT_CORRUPT", "STORE_UNAVAILABLE"};

template <typename T>
T& Pick(std::vector<T>& all, uint64_t number) {
  return all[number % all.size()];
}

}  // namespace

void Injector::Inject(const Fault& fault) {
  ++count_;
  cluster_->world().Note("FAULT ", ToText(fault));
  switch (fault.kind) {
    case FaultKind::kWorkerCrash:
    case FaultKind::kWorkerStop:
    case FaultKind::kWorkerDiskLoss:
    case FaultKind::kWorkerFails:
    case FaultKind::kOutcomeHeldUp:
    case FaultKind::kWorkerRefuses:
    case FaultKind::kDeviceFails:
    case FaultKind::kDeviceSick:
    case FaultKind::kDrain:
    case FaultKind::kClockDrift: return OnWorker(fault);
    case FaultKind::kWallStep: return SetWall(fault);
    case FaultKind::kSeparate:
    case FaultKind::kOneWay:
    case FaultKind::kClog:
    case FaultKind::kNoise: return OnNetwork(fault);
    case FaultKind::kSchedulerKill:
    case FaultKind::kSchedulersKill:
    case FaultKind::kSchedulerStop:
    case FaultKind::kSchedulerDies: return OnScheduler(fault);
    case FaultKind::kStateDown:
    case FaultKind::kStateLosesWrite:
    case FaultKind::kStateUnconfirmed:
    case FaultKind::kStateFailover:
    case FaultKind::kTakeoverForgotten:
    case FaultKind::kArtifactsDown:
    case FaultKind::kResultLost: return OnStores(fault);
  }
}

void Injector::OnWorker(const Fault& fault) {
  SimWorker* worker = Pick(cluster_->workers(), fault.a).get();
  switch (fault.kind) {
    case FaultKind::kWorkerCrash: return worker->Crash(fault.time, false);
    case FaultKind::kWorkerDiskLoss: return worker->Crash(fault.time, true);
    case FaultKind::kWorkerStop: return worker->Stop(fault.time);
    case FaultKind::kWorkerRefuses: return worker->RefuseFor(fault.time);
    case FaultKind::kDeviceFails: return worker->FailNextAttempt("DEVICE_FAILED");
    case FaultKind::kDeviceSick: return worker->SickenDevice(fault.b, fault.time);
    case FaultKind::kDrain:
      return cluster_->op().DrainFor(worker->id(), fault.b % 2 == 0, fault.time);
    case FaultKind::kOutcomeHeldUp: return worker->HoldUpNextOutcome(fault.time);
    case FaultKind::kWorkerFails:
      return worker->FailNextAttempt(kReasons[fault.b % std::size(kReasons)]);
    default:
      worker->Drift(0.9 + 0.2 * fault.strength);
      return cluster_->world().After(fault.time, [worker] { worker->Drift(1); });
  }
}

void Injector::SetWall(const Fault& fault) {
  const auto offset =
      static_cast<int64_t>((2 * fault.strength - 1) * kWallHours * static_cast<double>(kHour));
  if (fault.a % 2 == 0) return Pick(cluster_->machines(), fault.b).clock->SetWall(offset);
  Pick(cluster_->controls(), fault.b)->clock().SetWall(offset);
}

void Injector::OnNetwork(const Fault& fault) {
  Network& network = cluster_->network();
  World& world = cluster_->world();
  if (fault.kind == FaultKind::kClog) return Clog(fault);
  if (fault.kind == FaultKind::kNoise) {
    const double rate = kNoiseRate * fault.strength;
    network.AddNoise({rate, rate, rate});
    return world.After(fault.time, [&world, &network, rate] {
      if (world.faults()) network.AddNoise({rate, rate, rate}, -1);
    });
  }
  const auto nodes = static_cast<uint64_t>(network.size());
  if (fault.kind == FaultKind::kOneWay) {
    const auto from = static_cast<NodeId>(fault.a % nodes), to = static_cast<NodeId>(fault.b % nodes);
    network.Cut(from, to);
    return world.After(fault.time, [&network, from, to] { network.Mend(from, to); });
  }
  std::vector<NodeId> apart;
  Rng rng(fault.a, fault.b);
  for (uint64_t i = 0; i <= fault.b % 3; ++i) apart.push_back(static_cast<NodeId>(rng.Uniform(nodes)));
  for (NodeId node : apart) world.Note("  apart: ", network.name(node));
  network.Separate(apart, true);
  world.After(fault.time, [&network, apart] {
    if (network.size() > 0) network.Separate(apart, false);
  });
}

void Injector::Clog(const Fault& fault) {
  Network& network = cluster_->network();
  World& world = cluster_->world();
  const auto nodes = static_cast<uint64_t>(network.size());
  Rng rng(fault.a, fault.b);
  std::vector<std::pair<NodeId, NodeId>> links;
  for (uint64_t i = 0; i < 4 + fault.b % 8; ++i) {
    links.emplace_back(static_cast<NodeId>(rng.Uniform(nodes)),
                       static_cast<NodeId>(rng.Uniform(nodes)));
  }
  const int64_t step = fault.time / 2 / static_cast<int64_t>(links.size());
  for (size_t i = 0; i < links.size(); ++i) {
    world.After(step * static_cast<int64_t>(i), [&world, &network, link = links[i]] {
      if (world.faults()) network.Cut(link.first, link.second);
    });
  }
  for (size_t i = links.size(); i > 1; --i) std::swap(links[i - 1], links[rng.Uniform(i)]);
  for (size_t i = 0; i < links.size(); ++i) {
    world.After(fault.time / 2 + step * static_cast<int64_t>(i),
                [&network, link = links[i]] { network.Mend(link.first, link.second); });
  }
}

void Injector::OnScheduler(const Fault& fault) {
  if (fault.kind == FaultKind::kSchedulersKill) {
    for (const Machine& machine : cluster_->machines()) {
      if (machine.process != nullptr) machine.process->Kill();
    }
    return;
  }
  if (fault.kind == FaultKind::kSchedulerKill) {
    const auto& process = Pick(cluster_->machines(), fault.a).process;
    if (process != nullptr) process->Kill();
    return;
  }
  const auto leader = cluster_->Leader();
  if (leader == nullptr) return;
  if (fault.kind == FaultKind::kSchedulerStop) return leader->Stop(fault.time);
  leader->DieAtNextWrite(fault.a % 2 == 0);
}

void Injector::OnStores(const Fault& fault) {
  World& world = cluster_->world();
  SimState* state = &cluster_->state();
  SimArtifacts* artifacts = &cluster_->artifacts();
  const bool of_leader = fault.a % 4 != 0;
  switch (fault.kind) {
    case FaultKind::kStateLosesWrite: return state->FailNextWrite(of_leader, WriteFault::kLost);
    case FaultKind::kStateUnconfirmed:
      return state->FailNextWrite(of_leader, WriteFault::kUnconfirmed);
    case FaultKind::kTakeoverForgotten: return state->FailoverAtTakeover();
    case FaultKind::kResultLost: return artifacts->LoseNextResult();
    case FaultKind::kArtifactsDown:
      artifacts->SetDown(true);
      return world.After(fault.time, [artifacts] { artifacts->SetDown(false); });
    case FaultKind::kStateDown:
      state->SetDown(true);
      return world.After(fault.time, [state] { state->SetDown(false); });
    default: break;
  }
  const auto loss = static_cast<int64_t>(fault.strength * static_cast<double>(kLossWindow));
  if (fault.b % 2 == 0) return state->Failover(loss);
  // The replica takes over only after a while; what was acknowledged last goes then.
  state->Failover(loss);
  state->SetDown(true);
  world.After(fault.time / 4, [state] { state->SetDown(false); });
}

}  // namespace swage::sim
