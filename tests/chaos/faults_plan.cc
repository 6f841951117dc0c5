#include "tests/chaos/faults_plan.h"

#include <algorithm>

#include "base/text.h"

namespace swage::chaos {
namespace {

constexpr int kRoundMs = 2000;  // in which faults begin
constexpr int kMostFaults = 3, kTries = 20;

// Of all RPCs a part, of the rare ones at least one each.
struct RpcKind {
  const char* name;
  const char* faults;
};
constexpr RpcKind kRpcKinds[] = {
    {"rpc-drop", "*:drop:0.08:min=1,Publish:drop:0.5,Prepare:drop:0.3"},
    {"rpc-lose", "*:lose:0.08:min=1,Publish:lose:0.5,Prepare:lose:0.3,CreateJob:lose:0.2"},
    {"rpc-delay", "*:delay:0.15:150:min=1,Publish:delay:0.5:600,Synchronize:delay:0.1:500"},
    {"rpc-dup", "*:dup:0.2:min=1,Publish:dup:0.7,Prepare:dup:0.7,CreateJob:dup:0.5,Synchronize:dup:0.3"},
    {"rpc-mixed", "*:drop:0.03,*:lose:0.03,*:delay:0.05:200,*:dup:0.1"}};

}  // namespace

std::vector<Fault> AllFaults(const FaultPlanOptions& options) {
  std::vector<std::string> targets = {"worker", "machine", "child", "leader", "standby", "control", "store"};
  if (options.redis) targets.push_back("redis");
  std::vector<Fault> all;
  for (const std::string& target : targets) {
    for (const char* verb : {"kill", "stop-short", "stop-long"}) {
      if (target == "machine" && std::string(verb) == "kill") continue;  // the same as killing the worker
      Fault fault;
      fault.kind = std::string(verb) == "kill" ? Fault::Kind::kKill : Fault::Kind::kStop;
      fault.name = Cat(verb, " ", target);
      fault.target = target;
      all.push_back(std::move(fault));
    }
  }
  for (const RpcKind& kind : kRpcKinds) {
    Fault fault;
    fault.kind = Fault::Kind::kRpc;
    fault.name = kind.name;
    fault.target = "all";
    fault.rpc = kind.faults;
    all.push_back(std::move(fault));
  }
  if (!options.only.empty()) {
    std::erase_if(all, [&](const Fault& f) {
      return std::find(options.only.begin(), options.only.end(), f.name) == options.only.end();
    });
  }
  return all;
}

std::vector<Fault> DrawRound(const FaultPlanOptions& options, Rng* rng) {
  const std::vector<Fault> all = AllFaults(options);
  std::vector<Fault> drawn;
  const uint64_t count = std::min<uint64_t>(1 + rng->Uniform(kMostFaults), all.size());
  for (int tries = 0; drawn.size() < count && tries < kTries; ++tries) {
    Fault fault = all[rng->Uniform(all.size())];
    if (std::any_of(drawn.begin(), drawn.end(), [&](const Fault& f) { return f.target == fault.target; })) continue;
    fault.at_ms = static_cast<int>(rng->Uniform(kRoundMs));
    fault.choice = rng->Uniform(1000);
    const int spread = static_cast<int>(rng->Uniform(options.lease_ms / 2 + 1));
    switch (fault.kind) {
      case Fault::Kind::kKill: fault.for_ms = rng->Uniform(3) == 0 ? options.lease_ms + spread : 100 + spread; break;
      case Fault::Kind::kStop:
        fault.for_ms = StartsWith(fault.name, "stop-short") ? 100 + spread : options.lease_ms * 3 / 2 + spread;
        break;
      case Fault::Kind::kRpc: fault.for_ms = kRoundMs + spread; break;
    }
    drawn.push_back(std::move(fault));
  }
  return drawn;
}

}  // namespace swage::chaos
