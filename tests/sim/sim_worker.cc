#include "tests/sim/sim_worker.h"

#include <algorithm>
#include <utility>

namespace swage::sim {
namespace {

constexpr int64_t kReportTimeout = 6 * kSecond, kCallRetry = kSecond / 5;

AttemptToken Of(const JobToken& t) { return {t.incarnation, t.epoch, t.random}; }

Assignment Of(const AssignmentOrder& order) {
  Assignment a;
  a.tenant = order.tenant;
  a.job = order.job;
  a.token = Of(order.token);
  a.recipe_json = order.spec.recipe_json;
  a.memory_limit_bytes = order.memory_limit_bytes;
  a.attempt = order.attempt;
  for (const DeviceShare& share : order.devices) a.devices.push_back({share.device, share.bytes});
  a.checkpoint = order.checkpoint;
  a.rank = order.rank;
  a.world = order.world;
  a.started = order.started;
  a.peers = order.peers;
  a.rendezvous = order.rendezvous;
  return a;
}

Assignment Of(const StopOrder& order) {
  Assignment a;
  a.tenant = order.tenant;
  a.job = order.job;
  a.token = Of(order.token);
  a.stop = true;
  a.grace_ms = order.grace_ms;
  a.stop_reason = order.reason;
  return a;
}

}  // namespace

SimWorker::SimWorker(WorkerWorld around, WorkerShape shape)
    : around_(std::move(around)),
      shape_(std::move(shape)),
      rng_(around_.world->Stream(shape_.id)),
      clock_(around_.world),
      name_(shape_.id) {}

void SimWorker::Later(int64_t delay, std::function<void()> event) {
  const int64_t wait = clock_.WorldNanos(std::max<int64_t>(delay, 0));
  around_.world->After(wait, [this, boot = boot_, event = std::move(event)] {
    if (boot != boot_ || !running_) return;
    const int64_t stopped = stopped_until_ - around_.world->now();
    if (stopped > 0) {
      around_.world->After(stopped, [this, boot, event] {
        if (boot == boot_ && running_) Later(0, event);
      });
    } else {
      event();
    }
  });
}

void SimWorker::Start() {
  ++boot_;
  running_ = true;
  stopped_until_ = 0;
  sequence_ = in_call_ = 0;
  news_due_ = false;
  fenced_ = 0;
  table_ = std::make_unique<SlotTable>(shape_.slots);
  table_->LimitMemory(shape_.devices[0].total_bytes);
  for (const DeviceReport& device : shape_.devices)
    table_->LimitDevice(device.id, device.total_bytes);
  lease_ = {};
  runs_.clear();
  around_.checker->AddWorker(shape_.id, shape_.devices, shape_.slots);
  Call();
}

void SimWorker::Crash(int64_t away, bool disk_lost) {
  if (!running_) return;
  around_.world->Note(shape_.id, " crashes", disk_lost ? " and loses its disk" : "");
  running_ = false;
  if (disk_lost) shape_.id = Cat(name_, "-", ++disks_);
  around_.world->After(away, [this] { Start(); });
}

void SimWorker::Stop(int64_t nanos) {
  if (!running_) return;
  around_.world->Note(shape_.id, " is stopped for ", nanos / kMillisecond, " ms");
  stopped_until_ = std::max(stopped_until_, around_.world->now() + nanos);
}

void SimWorker::RefuseFor(int64_t nanos) {
  refuses_until_ = std::max(refuses_until_, around_.world->now() + nanos);
}

void SimWorker::SickenDevice(uint64_t number, int64_t nanos) {
  const size_t device = number % shape_.devices.size();
  shape_.devices[device].problem = "wrong self-test";
  around_.world->After(nanos, [this, device] { shape_.devices[device].problem.clear(); });
}

void SimWorker::Calm() {
  next_failure_.clear();
  hold_up_ = refuses_until_ = 0;
  for (DeviceReport& device : shape_.devices) device.problem.clear();
  clock_.SetRate(1);
}

size_t SimWorker::computing() const {
  return static_cast<size_t>(std::count_if(runs_.begin(), runs_.end(),
                                           [](const auto& run) { return run.second.computing; }));
}

WorkerReport SimWorker::Report() const {
  WorkerReport report;
  report.worker_id = shape_.id;
  report.boot_id = Cat("boot", boot_);
  report.sequence = sequence_;
  report.slot_count = shape_.slots;
  report.methods = shape_.methods;
  report.features = shape_.features;
  report.devices = shape_.devices;
  report.address = shape_.id;
  for (const auto& [token, slot] : table_->slots()) {
    SlotReport& out = report.slots.emplace_back();
    out.tenant = slot.assignment.tenant;
    out.job = slot.assignment.job;
    out.token = TokenOf(token);
    out.progress = {slot.progress.stage, "", slot.progress.fraction, -1, slot.progress.peak_bytes};
    out.started = slot.assignment.started;
    out.stopping = slot.winding_down;
    out.checkpoint = slot.checkpoint;
    out.rendezvous = slot.rendezvous;
    out.gathered = !slot.assignment.rendezvous.empty();
    if (slot.state == SlotState::kReporting)
      out.outcome = OutcomeReport{slot.outcome.manifest_digest, slot.outcome.reason, "",
                                  slot.outcome.device};
  }
  return report;
}

void SimWorker::Call() {
  in_call_ = ++sequence_;
  news_due_ = false;
  lease_.Sent(Now());
  const NodeId to = around_.schedulers[target_];
  const auto reply = [this, to, sequence = sequence_, boot = boot_](const SimAnswer& answer) {
    around_.network->Send(to, shape_.node, [this, sequence, boot, answer] {
      if (boot == boot_) Later(0, [this, sequence, answer] { Answered(sequence, answer); });
    });
  };
  const int64_t sent = around_.world->now();
  WorkerReport report = Report();
  const auto arrive = [this, to, report, reply, sent, boot = boot_] {
    // A call that was given up is cancelled on the connection that carries it: what is heard of it
    // is heard soon.
    const bool given_up = boot != boot_ || in_call_ != report.sequence;
    if (given_up && around_.world->now() - sent > kSecond) return;
    const auto scheduler = around_.scheduler_at(to);
    if (scheduler == nullptr) return reply({});
    scheduler->Synchronize(report, reply);
  };
  const bool tells = std::any_of(report.slots.begin(), report.slots.end(),
                                 [](const SlotReport& slot) { return slot.outcome.has_value(); });
  if (tells && hold_up_ > 0) {
    Stop(hold_up_);
    around_.world->After(std::exchange(hold_up_, 0), arrive);
  } else {
    around_.network->Send(shape_.node, to, arrive);
  }
  Later(kReportTimeout, [this, sequence = sequence_] { Answered(sequence, {}); });
}

void SimWorker::Answered(uint64_t sequence, const SimAnswer& answer) {
  if (in_call_ != sequence) return;  // a call that was given up, or has been answered
  in_call_ = 0;
  if (!answer.ok) {
    target_ = (target_ + 1) % around_.schedulers.size();
    return Later(kCallRetry, [this] {
      if (in_call_ == 0) Call();
    });
  }
  const SyncAnswer& sync = answer.answer;
  if (!sync.superseded && lease_.Answered(sync.lease_ms, Now())) {
    Converge(sync);
    Later(lease_.fence_at() - Now(), [this] { CheckFence(); });
  }
  if (in_call_ == 0) Call();
}

void SimWorker::Converge(const SyncAnswer& answer) {
  std::vector<Assignment> desired;
  for (const AssignmentOrder& order : answer.assignments) {
    desired.push_back(Of(order));
    around_.checker->Told(shape_.id, JobKey(order.tenant, order.job), order.token);
  }
  for (const StopOrder& stop : answer.stops) desired.push_back(Of(stop));
  Execute(table_->Converge(desired));
}

void SimWorker::CheckFence() {
  if (table_->slots().empty() || lease_.fence_at() == 0 || fenced_ == lease_.fence_at()) return;
  if (Now() < lease_.fence_at()) return;
  fenced_ = lease_.fence_at();
  around_.world->Note(shape_.id, " fences itself");
  Execute(table_->Fence());
}

// Cuts the call under way short to tell news, as the daemon does.
void SimWorker::News() {
  if (in_call_ == 0 || news_due_) return;
  const int64_t at = lease_.MayInterruptAt();
  if (at == INT64_MAX) return;
  news_due_ = true;
  Later(at - Now(), [this, sequence = in_call_] {
    if (in_call_ == sequence) Call();
  });
}

void SimWorker::Execute(const SlotTable::Actions& actions) {
  for (const AttemptToken& token : actions.stop) {
    Later(Between(&rng_, 5 * kMillisecond, kSecond / 2), [this, token] { End(token, {}); });
  }
  for (const SlotTable::WindDown& order : actions.wind_down) WindDown(order);
  for (const Assignment& assignment : actions.start) Begin(assignment);
  for (const Assignment& assignment : actions.go) Compute(assignment.token);
  for (const Assignment& assignment : actions.met) Meet(assignment);
  if (!actions.start.empty() || !actions.stop.empty()) News();
}

}  // namespace swage::sim
