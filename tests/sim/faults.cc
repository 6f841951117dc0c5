#include "tests/sim/faults.h"

#include <iterator>

namespace swage::sim {
namespace {

struct Weight {
  FaultKind kind;
  int light, heavy;
};

// In a light profile machines fail as machines do; in a heavy one everything does.
constexpr Weight kWeights[] = {
    {FaultKind::kWorkerCrash, 6, 4},      {FaultKind::kWorkerStop, 4, 4},
    {FaultKind::kWorkerDiskLoss, 1, 1},   {FaultKind::kWorkerFails, 10, 10},
    {FaultKind::kWorkerRefuses, 2, 3},    {FaultKind::kDeviceFails, 2, 3},
    {FaultKind::kDeviceSick, 1, 2},       {FaultKind::kDrain, 2, 3},
    {FaultKind::kOutcomeHeldUp, 1, 3},    {FaultKind::kClockDrift, 1, 2},       {FaultKind::kWallStep, 1, 2},
    {FaultKind::kSeparate, 4, 4},         {FaultKind::kOneWay, 2, 4},
    {FaultKind::kClog, 1, 2},             {FaultKind::kNoise, 6, 4},
    {FaultKind::kSchedulerKill, 3, 3},    {FaultKind::kSchedulersKill, 1, 2},
    {FaultKind::kSchedulerStop, 2, 4},    {FaultKind::kSchedulerDies, 2, 4},
    {FaultKind::kStateDown, 1, 2},        {FaultKind::kStateLosesWrite, 2, 4},
    {FaultKind::kStateUnconfirmed, 2, 4}, {FaultKind::kStateFailover, 2, 4},
    {FaultKind::kTakeoverForgotten, 1, 2}, {FaultKind::kArtifactsDown, 2, 2},
    {FaultKind::kResultLost, 1, 2},
};
static_assert(std::size(kWeights) == static_cast<size_t>(kLastFault) + 1);

FaultKind DrawKind(Rng* rng, FaultProfile profile) {
  const bool heavy = profile == FaultProfile::kHeavy;
  int sum = 0;
  for (const Weight& w : kWeights) sum += heavy ? w.heavy : w.light;
  auto left = static_cast<int>(rng->Uniform(static_cast<uint64_t>(sum)));
  for (const Weight& w : kWeights) {
    left -= heavy ? w.heavy : w.light;
    if (left < 0) return w.kind;
  }
  return FaultKind::kNoise;
}

}  // namespace

std::vector<Fault> DrawFaults(const World& world, double hours, FaultProfile profile,
                              int64_t lease_nanos) {
  std::vector<Fault> faults;
  if (profile == FaultProfile::kNone) return faults;
  Rng rng = world.Stream("faults");
  const double per_hour = profile == FaultProfile::kHeavy ? 600 : 150;
  const auto end = static_cast<int64_t>(hours * static_cast<double>(kHour));
  faults.push_back({0, FaultKind::kNoise, end, 0, 0, 0.1});
  for (int64_t at = NextOf(&rng, per_hour); at < end; at += NextOf(&rng, per_hour)) {
    Fault fault;
    fault.at = at;
    fault.kind = DrawKind(&rng, profile);
    // Longer than a lease, or not.
    fault.time = Chance(&rng, 0.5) ? Between(&rng, lease_nanos, 4 * lease_nanos)
                                   : Between(&rng, kMillisecond, lease_nanos);
    fault.a = rng.Uniform(1 << 20);
    fault.b = rng.Uniform(1 << 20);
    fault.strength = rng.UniformDouble();
    faults.push_back(fault);
  }
  return faults;
}

std::string_view NameOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kWorkerCrash: return "worker crashes";
    case FaultKind::kWorkerStop: return "worker stopped";
    case FaultKind::kWorkerDiskLoss: return "worker loses its disk";
    case FaultKind::kWorkerFails: return "attempt fails";
    case FaultKind::kWorkerRefuses: return "worker refuses";
    case FaultKind::kDeviceFails: return "device fails";
    case FaultKind::kDeviceSick: return "device is sick";
    case FaultKind::kDrain: return "worker drained";
    case FaultKind::kOutcomeHeldUp: return "outcome held up";
    case FaultKind::kClockDrift: return "clock drifts";
    case FaultKind::kWallStep: return "wall clock set";
    case FaultKind::kSeparate: return "nodes cut off";
    case FaultKind::kOneWay: return "one way cut";
    case FaultKind::kClog: return "links clogged one by one";
    case FaultKind::kNoise: return "noise";
    case FaultKind::kSchedulerKill: return "scheduler killed";
    case FaultKind::kSchedulersKill: return "all schedulers killed";
    case FaultKind::kSchedulerStop: return "leader stopped";
    case FaultKind::kSchedulerDies: return "leader dies at its write";
    case FaultKind::kStateDown: return "state store away";
    case FaultKind::kStateLosesWrite: return "state store loses a write";
    case FaultKind::kStateUnconfirmed: return "state store does not confirm a write";
    case FaultKind::kStateFailover: return "state store fails over";
    case FaultKind::kTakeoverForgotten: return "state store forgets a takeover";
    case FaultKind::kArtifactsDown: return "artifact store away";
    case FaultKind::kResultLost: return "prepared result lost";
  }
  return "";
}

std::string ToText(const Fault& fault) {
  return Cat(fault.at / kMillisecond, " ms  ", NameOf(fault.kind), " (", fault.time / kMillisecond,
             " ms, a=", fault.a, ", b=", fault.b, ", strength ", fault.strength, ")");
}

}  // namespace swage::sim
