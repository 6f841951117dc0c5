// The attempts on a simulated worker: how they begin, compute, write checkpoints, stop and end.
#include <algorithm>
#include <utility>

#include "base/digest.h"
#include "tests/sim/sim_worker.h"

namespace swage::sim {
namespace {

constexpr int64_t kPrepareRetry = 3 * kSecond;
constexpr int64_t kLongRun = 30 * kSecond;  // such jobs write a checkpoint after each step

JobToken Of(const AttemptToken& t) { return {t.incarnation, t.epoch, t.random}; }

}  // namespace

const JobSpec& SimWorker::SpecOf(const Run& run) const {
  return around_.workload->jobs.at(static_cast<size_t>(JobOfRecipe(run.order.spec.recipe_json)));
}

void SimWorker::Begin(const Assignment& assignment) {
  const AttemptToken& token = assignment.token;
  const auto told = told_.find(token);
  if (told == told_.end()) {  // it waited for room, and is not wanted any more
    return Later(0, [this, token] { Execute(table_->Finished(token, {"", "LEASE_LOST", ""})); });
  }
  const AssignmentOrder& order = told->second;
  around_.world->Note(shape_.id, " starts ", order.job, " epoch ", order.token.epoch, " rank ",
                      order.rank, " of ", order.world);
  around_.checker->Started(shape_.id, JobKey(order.tenant, order.job), order.token);
  Run& run = runs_[token];
  run.order = order;
  if (const auto known = around_.checkpoints->find(order.checkpoint);
      known != around_.checkpoints->end()) {
    run.steps_done = known->second;
    run.checkpoint = order.checkpoint;
  }
  CheckMemory();
  if (around_.world->now() < refuses_until_)
    return Later(0, [this, token] { End(token, {"", "REFUSED", "simulated"}); });
  if (order.started) Compute(token);
}

void SimWorker::CheckMemory() {
  std::map<std::string, uint64_t> used;
  for (const auto& [token, run] : runs_) used["cpu0"] += run.order.memory_limit_bytes;
  for (const auto& [token, run] : runs_) {
    for (const DeviceShare& share : run.order.devices) used[share.device] += share.bytes;
  }
  for (const DeviceReport& device : shape_.devices) {
    if (used[device.id] <= device.total_bytes) continue;
    around_.world->Fail("G10", Cat(shape_.id, " runs ", runs_.size(), " jobs with ",
                                   used[device.id], " bytes of ", device.id, ", which has ",
                                   device.total_bytes));
  }
}

void SimWorker::Compute(const AttemptToken& token) {
  Run& run = runs_.at(token);
  if (run.stopping) return;
  run.computing = true;
  around_.checker->Computes(shape_.id, JobKey(run.order.tenant, run.order.job), run.order.token);
  const JobSpec& spec = SpecOf(run);
  Later(spec.run_nanos / spec.steps, [this, token] { Work(token); });
}

void SimWorker::Work(const AttemptToken& token) {
  const auto it = runs_.find(token);
  if (it == runs_.end()) return;  // ended meanwhile
  Run& run = it->second;
  const JobSpec& spec = SpecOf(run);
  run.steps_done = std::min(run.steps_done + 1, spec.steps);
  if (run.steps_done == spec.steps) return Done(token);
  if (spec.run_nanos >= kLongRun) WriteCheckpoint(&run);
  SlotProgress progress;
  progress.stage = Cat("block[", run.steps_done, "]");
  progress.fraction = static_cast<double>(run.steps_done) / spec.steps;
  table_->Progress(token, progress);
  News();
  Later(spec.run_nanos / spec.steps, [this, token] { Work(token); });
}

void SimWorker::Done(const AttemptToken& token) {
  Run& run = runs_.at(token);
  const JobSpec& spec = SpecOf(run);
  const std::string reason = spec.fails.empty() ? std::exchange(next_failure_, "") : spec.fails;
  if (reason == "DEVICE_FAILED") {
    const auto& devices = run.order.devices;
    bad_device_[token] = devices.empty() ? "cpu0" : devices[0].device;
  }
  if (!reason.empty()) return End(token, {"", reason, "simulated"});
  // Of a gang the first brings the result; the others say that they are done.
  if (run.order.rank > 0) return End(token, {});
  // Another attempt makes another artifact, so that a doubled result shows.
  Upload(token, Sha256Of(Cat(run.order.job, " ", token.random, " ", ++digests_)).Hex());
}

void SimWorker::WriteCheckpoint(Run* run) {
  run->checkpoint =
      Sha256Of(Cat("checkpoint ", run->order.job, " ", run->order.token.random, " ", ++digests_))
          .Hex();
  (*around_.checkpoints)[run->checkpoint] = run->steps_done;
}

// With a grace it first writes down how far it is.
void SimWorker::StopRun(const AttemptToken& token) {
  const auto grace = graces_.find(token);
  const auto run = runs_.find(token);
  if (run == runs_.end()) return;
  run->second.stopping = true;
  if (grace == graces_.end()) {
    return Later(Between(&rng_, 5 * kMillisecond, kSecond / 2), [this, token] { End(token, {}); });
  }
  const int64_t writes = Between(&rng_, kSecond / 2, std::min(grace->second, 5 * kSecond));
  Later(writes, [this, token] {
    const auto it = runs_.find(token);
    if (it == runs_.end()) return;
    WriteCheckpoint(&it->second);
    News();
    Later(kSecond / 2, [this, token] { End(token, {}); });
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
  const AssignmentOrder& order = runs_.at(token).order;
  const NodeId store = around_.artifacts->node();
  around_.checker->PrepareSent(shape_.id, JobKey(order.tenant, order.job), Of(token));
  around_.network->Send(shape_.node, store, [this, store, boot = boot_, tenant = order.tenant,
                                             job = order.job, token, artifact, acknowledged] {
    if (!around_.artifacts->up()) return;
    around_.artifacts->Prepare(tenant, job, Of(token), artifact);
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
