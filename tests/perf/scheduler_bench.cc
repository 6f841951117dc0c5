// swage-bench-scheduler: what the scheduler's decisions cost by themselves, without network or store.
//
//   queue     cost of a job from submission to assignment as the queue grows from 10^3 to 10^6
//   passes    one look at the queue, 1,000 workers and 100,000 jobs waiting
//   restart   a leader's start with 100,000 jobs in a store of records
//
// Prints a table; see docs/benchmarks/scheduler.md.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/text.h"
#include "scheduler/core/core.h"

namespace swage {
namespace {

using SteadyClock = std::chrono::steady_clock;

double Micros(SteadyClock::time_point since) {
  return std::chrono::duration<double, std::micro>(SteadyClock::now() - since).count();
}

// A core with workers that end a job as soon as they are asked to.
class Farm {
 public:
  explicit Farm(int workers) : core_(CoreOptions{.incarnation = 1}, Rng(7, 1)) {
    core_.FinishLoad(now_);
    reports_.resize(static_cast<size_t>(workers));
    for (int i = 0; i < workers; ++i) {
      WorkerReport& report = reports_[static_cast<size_t>(i)];
      report.worker_id = Cat("worker", i);
      report.boot_id = "boot";
      report.slot_count = 1;
      report.methods = {"rtn/1"};
      report.devices = {{"cpu0", "cpu", "", uint64_t{64} << 30}};
    }
  }

  void Submit(int jobs) {
    for (int i = 0; i < jobs; ++i) {
      JobRecord record = NextJob();
      const std::string key = JobKey(record.job.tenant, record.job.id);
      core_.HandleCreated(key, 1, std::move(record), now_);
    }
  }
  JobRecord NextJob() {
    JobRecord record;
    AdmittedJob& job = record.job;
    job.tenant = Cat("tenant", submitted_ % 8);
    std::string id = Cat(submitted_++);
    job.id = Cat("job", std::string(9 - id.size(), '0'), id);
    job.shape.methods = {"rtn"};
    // Ten sizes of model.
    job.shape.host_bytes = static_cast<uint64_t>(1 + submitted_ % 10) << 30;
    job.priority = submitted_ % 3;
    job.create_unix_nanos = now_.unix_nanos + submitted_;
    return record;
  }

  // One worker calls: it has ended what it had, and is given the next. Returns the microseconds.
  double Turn(size_t worker) {
    WorkerReport& report = reports_[worker % reports_.size()];
    ++report.sequence;
    now_.mono_nanos += 1'000'000;
    now_.unix_nanos += 1'000'000;
    for (SlotReport& slot : report.slots) slot.outcome = OutcomeReport{std::string(64, 'a'), "", ""};
    const auto start = SteadyClock::now();
    core_.HandleReport(report, now_);
    const CoreOutput out = core_.TakeOutput(now_);
    const auto orders = core_.Answer(report.worker_id);
    const double micros = Micros(start);
    for (const PublishOrder& order : out.publishes)
      core_.HandlePublish(order, PublishOutcome::kPublished, order.artifact, "", now_);
    report.slots.clear();
    for (const AssignmentOrder& order : orders) {
      SlotReport slot;
      slot.tenant = order.tenant;
      slot.job = order.job;
      slot.token = order.token;
      slot.progress.stage = "load";
      report.slots.push_back(slot);
    }
    return micros;
  }

  CoreOutput Take() { return core_.TakeOutput(now_); }
  Core& core() { return core_; }
  Now now() const { return now_; }

 private:
  Core core_;
  Now now_{1'000'000'000, 1'700'000'000'000'000'000};
  std::vector<WorkerReport> reports_;
  int submitted_ = 0;
};

std::vector<double> Sorted(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values;
}

void Queue() {
  std::printf("\n%-10s %22s %28s\n", "queued", "us per job submitted", "us per job ended + assigned");
  for (int queued : {1000, 10000, 100000, 1000000}) {
    Farm farm(100);
    constexpr int kBatch = 500;
    const auto start = SteadyClock::now();
    for (int i = 0; i < queued; i += kBatch) {
      farm.Submit(kBatch);
      farm.Take();
    }
    const double submit = Micros(start) / queued;
    for (size_t i = 0; i < 200; ++i) farm.Turn(i);  // everyone has a job
    double sum = 0;
    constexpr size_t kTurns = 500;
    for (size_t i = 0; i < kTurns; ++i) sum += farm.Turn(i);
    std::printf("%-10d %22.1f %28.1f\n", queued, submit, sum / kTurns);
  }
}

void Passes() {
  Farm farm(1000);
  for (int i = 0; i < 100000; i += 500) {
    farm.Submit(500);
    farm.Take();
  }
  std::vector<double> first;
  for (size_t i = 0; i < 1000; ++i) first.push_back(farm.Turn(i));
  std::vector<double> micros;
  for (size_t i = 0; i < 5000; ++i) micros.push_back(farm.Turn(i));
  micros = Sorted(micros);
  std::printf("\na worker's call and the pass it starts, 1,000 workers, 100,000 queued: p50 %.0f us, p99 %.0f us, "
              "longest %.0f us (5,000 calls)\n",
              micros[micros.size() / 2], micros[micros.size() * 99 / 100], micros.back());
}

void Restart() {
  Farm farm(1000);
  std::map<std::string, std::string> written;
  size_t bytes = 0;
  for (int i = 0; i < 100000; ++i) {
    const JobRecord record = farm.NextJob();
    const std::string& json = written[JobKey(record.job.tenant, record.job.id)] = ToJson(record);
    bytes += json.size();
  }
  const auto start = SteadyClock::now();
  Core core(CoreOptions{.incarnation = 2}, Rng(7, 2));
  for (const auto& [key, json] : written) {
    const Status loaded = core.Load(key, 1, json);
    if (!loaded.ok()) std::printf("%s\n", MessageOf(loaded).c_str());
  }
  core.FinishLoad(farm.now());
  core.TakeOutput(farm.now());
  std::printf("\na leader's start, its own work: %.2f s for %zu records of %zu bytes on average; %zu waiting\n",
              Micros(start) / 1e6, written.size(), bytes / written.size(), core.waiting());
}

}  // namespace
}  // namespace swage

int main() {
  swage::Queue();
  swage::Passes();
  swage::Restart();
  return 0;
}
