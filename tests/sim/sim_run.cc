// The attempts on a simulated worker: how they begin, compute, write checkpoints, stop and end.
#include <algorithm>
#include <utility>

#include "base/digest.h"
#include "tests/sim/sim_worker.h"

namespace swage::sim {
namespace {

constexpr int64_t kPrepareRetry = 3 * kSecond;
constexpr int64_t kLongRun = 30 * kSecond;  // such jobs write a checkpoint after each step

// What a member says to the others of its gang: enough to see where it came from.
std::string RendezvousOf(const AttemptToken& token, size_t rank) {
  return Cat(token.incarnation, " ", token.epoch, " ", token.random, " ", rank);
}

}  // namespace

const JobSpec& SimWorker::SpecOf(const Assignment& assignment) const {
  return around_.workload->jobs.at(static_cast<size_t>(JobOfRecipe(assignment.recipe_json)));
}

void SimWorker::Begin(const Assignment& assignment) {
  const AttemptToken& token = assignment.token;
  around_.world->Note(shape_.id, " starts ", assignment.job, " epoch ", token.epoch, " rank ",
                      assignment.rank, " of ", assignment.world);
  around_.checker->Started(shape_.id, JobKey(assignment.tenant, assignment.job), TokenOf(token));
  Run& run = runs_[token];
  run.assignment = assignment;
  if (const auto known = around_.checkpoints->find(assignment.checkpoint);
      known != around_.checkpoints->end()) {
    run.steps_done = known->second;
  }
  CheckMemory();
  if (around_.world->now() < refuses_until_)
    return Later(0, [this, token] { End(token, {"", "REFUSED", "simulated"}); });
  if (assignment.started) Compute(token);
}

void SimWorker::CheckMemory() {
  std::map<std::string, uint64_t> used;
  for (const auto& [token, run] : runs_) used["cpu0"] += run.assignment.memory_limit_bytes;
  for (const auto& [token, run] : runs_) {
    for (const AssignedDevice& share : run.assignment.devices) used[share.device] += share.bytes;
  }
  for (const DeviceReport& device : shape_.devices) {
    if (used[device.id] <= device.total_bytes) continue;
    around_.world->Fail("G10", Cat(shape_.id, " runs ", runs_.size(), " jobs with ",
                                   used[device.id], " bytes of ", device.id, ", which has ",
                                   device.total_bytes));
  }
}

void SimWorker::Compute(const AttemptToken& token) {
  const auto it = runs_.find(token);
  if (it == runs_.end()) return;  // refused meanwhile
  Run& run = it->second;
  run.computing = true;
  around_.checker->Computes(shape_.id, JobKey(run.assignment.tenant, run.assignment.job),
                            TokenOf(token));
  if (run.assignment.world > 1) {  // its members find each other first
    table_->Rendezvous(token, RendezvousOf(token, static_cast<size_t>(run.assignment.rank)));
    return News();
  }
  const JobSpec& spec = SpecOf(run.assignment);
  Later(spec.run_nanos / spec.steps, [this, token] { Work(token); });
}

void SimWorker::Meet(const Assignment& gathered) {
  if (!runs_.contains(gathered.token)) return;
  for (size_t rank = 0; rank < gathered.rendezvous.size(); ++rank) {
    if (gathered.rendezvous[rank] == RendezvousOf(gathered.token, rank)) continue;
    around_.world->Fail("G11", Cat(shape_.id, " hears of ", gathered.job, "'s member ", rank,
                                   " what was said under another token"));
  }
  const JobSpec& spec = SpecOf(gathered);
  Later(spec.run_nanos / spec.steps, [this, token = gathered.token] { Work(token); });
}

void SimWorker::Work(const AttemptToken& token) {
  const auto it = runs_.find(token);
  if (it == runs_.end()) return;  // ended meanwhile
  Run& run = it->second;
  const JobSpec& spec = SpecOf(run.assignment);
  run.steps_done = std::min(run.steps_done + 1, spec.steps);
  if (run.steps_done == spec.steps) return Done(token);
  if (spec.run_nanos >= kLongRun) WriteCheckpoint(token, run);
  SlotProgress progress;
  progress.stage = Cat("block[", run.steps_done, "]");
  progress.fraction = static_cast<double>(run.steps_done) / spec.steps;
  table_->Progress(token, progress);
  News();
  Later(spec.run_nanos / spec.steps, [this, token] { Work(token); });
}

void SimWorker::Done(const AttemptToken& token) {
  const Assignment& assignment = runs_.at(token).assignment;
  const JobSpec& spec = SpecOf(assignment);
  SlotOutcome outcome;
  outcome.reason = spec.fails.empty() ? std::exchange(next_failure_, "") : spec.fails;
  if (outcome.reason == "DEVICE_FAILED")
    outcome.device = assignment.devices.empty() ? "cpu0" : assignment.devices[0].device;
  // Of a gang the first brings the result; the others say that they are done.
  if (!outcome.reason.empty() || assignment.rank > 0) return End(token, outcome);
  // Another attempt makes another artifact, so that a doubled result shows.
  Upload(token, Sha256Of(Cat(assignment.job, " ", token.random, " ", ++digests_)).Hex());
}

void SimWorker::WriteCheckpoint(const AttemptToken& token, const Run& run) {
  const std::string digest =
      Sha256Of(Cat("checkpoint ", run.assignment.job, " ", token.random, " ", ++digests_)).Hex();
  (*around_.checkpoints)[digest] = run.steps_done;
  table_->Checkpointed(token, digest);
}

// It writes down how far it is, and ends.
void SimWorker::WindDown(const SlotTable::WindDown& order) {
  const int64_t most = std::max(kSecond, std::min(order.grace_ms * kMillisecond, 5 * kSecond));
  Later(Between(&rng_, kSecond / 2, most), [this, token = order.token, reason = order.reason] {
    const auto it = runs_.find(token);
    if (it == runs_.end()) return;
    WriteCheckpoint(token, it->second);
    End(token, {"", reason, "stopped"});
  });
}

void SimWorker::Upload(const AttemptToken& token, const std::string& artifact) {
  if (!runs_.contains(token)) return;
  if (!lease_.held(Now()) || !table_->MayCommit(token)) {  // until it is stopped, or held again
    return Later(kSecond, [this, token, artifact] { Upload(token, artifact); });
  }
  const auto acknowledged = std::make_shared<bool>(false);
  SendPrepare(token, artifact, [this, token, artifact, acknowledged] {
    if (std::exchange(*acknowledged, true) || !runs_.contains(token)) return;
    const bool may = lease_.held(Now()) && table_->MayCommit(token);
    End(token, may ? SlotOutcome{artifact, "", ""} : SlotOutcome{"", "LEASE_LOST", ""});
  });
  Later(kPrepareRetry, [this, token, artifact, acknowledged] {
    if (!*acknowledged) Upload(token, artifact);
  });
}

void SimWorker::SendPrepare(const AttemptToken& token, const std::string& artifact,
                            const std::function<void()>& acknowledged) {
  const Assignment& assignment = runs_.at(token).assignment;
  const NodeId store = around_.artifacts->node();
  around_.checker->PrepareSent(shape_.id, JobKey(assignment.tenant, assignment.job),
                               TokenOf(token));
  around_.network->Send(shape_.node, store, [this, store, boot = boot_, tenant = assignment.tenant,
                                             job = assignment.job, token, artifact,
                                             acknowledged] {
    if (!around_.artifacts->up()) return;
    around_.artifacts->Prepare(tenant, job, TokenOf(token), artifact);
    around_.network->Send(store, shape_.node, [this, boot, acknowledged] {
      if (boot == boot_) Later(0, acknowledged);
    });
  });
}

void SimWorker::End(const AttemptToken& token, const SlotOutcome& outcome) {
  if (runs_.erase(token) == 0) return;
  Execute(table_->Finished(token, outcome));
  News();
}

}  // namespace swage::sim
