#include "tests/unit/scheduler/core_harness.h"

#include <algorithm>

namespace swage {

std::string DigestText(char digit) { return std::string(64, digit); }

void CoreHarness::Restart() {
  options.incarnation = ++incarnation;
  core_ = std::make_unique<Core>(options, Rng(17, incarnation));
  for (const auto& [key, record] : store)
    ASSERT_TRUE(core_->Load(key, record.first, record.second).ok());
  core_->FinishLoad(now);
}

CoreOutput CoreHarness::Step() {
  CoreOutput out = core_->TakeOutput(now);
  std::set<std::string> keys;
  for (const CoreWrite& write : out.writes) {
    EXPECT_TRUE(keys.insert(write.key).second) << write.key << " is written twice";
    auto it = store.find(write.key);
    EXPECT_EQ(it == store.end() ? 0 : it->second.first, write.expected_version) << write.key;
    if (write.value.has_value()) {
      store[write.key] = {write.expected_version + 1, *write.value};
    } else {
      store.erase(write.key);
    }
  }
  for (const CoreEvent& event : out.events) streams[event.stream].push_back(event.value);
  return out;
}

void CoreHarness::Submit(const std::string& id, uint64_t bytes, int priority,
                         const std::string& method) {
  SubmitAs("t", id, [&](AdmittedJob* job) {
    job->shape.host_bytes = bytes;
    job->shape.methods = {method};
    job->priority = priority;
  });
}

void CoreHarness::SubmitAs(const std::string& tenant, const std::string& id,
                           const std::function<void(AdmittedJob*)>& shape) {
  JobRecord record;
  AdmittedJob& job = record.job;
  job.id = id;
  job.tenant = tenant;
  job.shape.host_bytes = kGb;
  job.shape.methods = {"rtn"};
  job.create_unix_nanos = now.unix_nanos + requests_++;
  if (shape) shape(&job);
  const std::string key = JobKey(tenant, id);
  store[key] = {1, ToJson(record)};
  JobEventRecord accepted;
  accepted.kind = "state";
  streams[JobStream(tenant, id)].push_back(ToJson(accepted));
  core_->HandleCreated(key, 1, record, now);
}

void CoreHarness::Publish(const CoreOutput& out, PublishOutcome outcome) {
  for (const PublishOrder& order : out.publishes)
    core_->HandlePublish(order, outcome, order.artifact, "", now);
  if (!out.publishes.empty()) Publish(Step());
}

void CoreHarness::FinishAll(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto orders = Sync(name);
    Take(name, orders);
    Report(name);
    Step();
    for (SlotReport& slot : worker(name).report.slots)
      slot.outcome = OutcomeReport{DigestText('1'), "", ""};
    Report(name);
    Publish(Step());
    Take(name, {});
  }
}

void CoreHarness::Ask(const std::string& kind, const std::string& id, const std::string& tenant) {
  Request request;
  request.kind = kind;
  request.tenant = tenant;
  request.job_id = id;
  const std::string key = RequestKey(tenant, Cat(kind, ++requests_));
  store[key] = {1, ToJson(request)};
  core_->HandleRequest(key, 1, request, now);
}

CoreHarness::FakeWorker& CoreHarness::worker(const std::string& id, uint64_t bytes, int slots) {
  auto [it, added] = workers_.try_emplace(id);
  if (added) {
    WorkerReport& report = it->second.report;
    report.worker_id = id;
    report.boot_id = "boot1";
    report.slot_count = slots;
    report.methods = {"rtn/1"};
    report.devices = {{"cpu0", "cpu", "", bytes}};
  }
  return it->second;
}

void CoreHarness::Report(const std::string& id) {
  WorkerReport& report = worker(id).report;
  ++report.sequence;
  EXPECT_TRUE(core_->HandleReport(report, now));
}

std::vector<AssignmentOrder> CoreHarness::Sync(const std::string& id) {
  Report(id);
  Step();
  return core_->Answer(id);
}

void CoreHarness::Take(const std::string& id, const std::vector<AssignmentOrder>& orders,
                       const std::string& stage) {
  std::vector<SlotReport>& slots = worker(id).report.slots;
  slots.clear();
  for (const AssignmentOrder& order : orders) {
    SlotReport slot;
    slot.tenant = order.tenant;
    slot.job = order.job;
    slot.token = order.token;
    slot.progress.stage = stage;
    slots.push_back(slot);
  }
}

void CoreHarness::EndWith(const std::string& id, const std::string& job, const std::string& digest,
                          const std::string& reason) {
  for (SlotReport& slot : worker(id).report.slots) {
    if (slot.job == job) slot.outcome = OutcomeReport{digest, reason, ""};
  }
}

void CoreHarness::AdvanceMs(int64_t ms) {
  now.mono_nanos += ms * 1000000;
  now.unix_nanos += ms * 1000000;
  core_->Tick(now);
}

size_t CoreHarness::CountOf(std::string_view kind) const {
  size_t count = 0;
  for (const auto& [key, record] : store) count += SplitKey(key).kind == kind;
  return count;
}

const JobRecord& CoreHarness::job(const std::string& id, const std::string& tenant) const {
  const JobRecord* record = core_->FindJob(tenant, id);
  SWAGE_CHECK(record != nullptr, "no job ", id);
  return *record;
}

JobRecord CoreHarness::stored(const std::string& id) const {
  return JobRecordFromJson(store.at(JobKey("t", id)).second).value();
}

std::vector<JobEventRecord> CoreHarness::events(const std::string& id) const {
  std::vector<JobEventRecord> found;
  auto it = streams.find(JobStream("t", id));
  if (it == streams.end()) return found;
  for (const std::string& value : it->second) found.push_back(JobEventFromJson(value).value());
  return found;
}

std::vector<std::string> CoreHarness::states(const std::string& id) const {
  std::vector<std::string> found;
  for (const JobEventRecord& event : events(id)) {
    if (event.kind == "state") found.emplace_back(JobStateName(event.state));
  }
  return found;
}

}  // namespace swage
