#include "tests/perf/sim_workers.h"


#include <algorithm>

#include "base/text.h"

namespace swage {

SimWorkers::SimWorkers(std::vector<std::shared_ptr<grpc::Channel>> channels, const SimWorkerOptions& options,
                       Given given, Taken taken)
    : options_(options), given_(std::move(given)), taken_(std::move(taken)) {
  for (const auto& channel : channels) stubs_.push_back(v1::WorkerService::NewStub(channel));
  for (int i = 0; i < options.count; ++i) {
    auto worker = std::make_unique<Worker>();
    worker->index = i;
    worker->stub = stubs_[static_cast<size_t>(i) % stubs_.size()].get();
    workers_.push_back(std::move(worker));
  }
  for (const auto& worker : workers_) Call(worker.get());
}

SimWorkers::~SimWorkers() {
  std::unique_lock lock(mu_);
  stopping_ = true;
  for (const auto& worker : workers_) {
    if (worker->context != nullptr) worker->context->TryCancel();
  }
  idle_.wait(lock, [&] { return outstanding_ == 0; });
}

void SimWorkers::Silence(int worker) {
  std::lock_guard lock(mu_);
  workers_[static_cast<size_t>(worker)]->silent = true;
  if (workers_[static_cast<size_t>(worker)]->context != nullptr)
    workers_[static_cast<size_t>(worker)]->context->TryCancel();
}

void SimWorkers::Call(Worker* worker) {
  std::lock_guard lock(mu_);
  if (stopping_ || worker->silent) return;
  v1::SynchronizeRequest& request = worker->request;
  request.Clear();
  request.set_worker_id(Cat("sim", worker->index));
  request.set_boot_id("b");
  request.set_sequence(++worker->sequence);
  request.set_slot_count(options_.slots);
  request.add_methods("rtn/1");
  v1::Device* device = request.add_devices();
  device->set_id("cpu0");
  device->set_kind("cpu");
  device->set_total_bytes(options_.bytes);
  for (const v1::SlotReport& slot : worker->slots) *request.add_slots() = slot;
  worker->response.Clear();
  worker->context = std::make_unique<grpc::ClientContext>();
  worker->context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  ++outstanding_;
  ++calls_;
  worker->stub->async()->Synchronize(worker->context.get(), &request, &worker->response,
                                     [this, worker](grpc::Status status) { Answered(worker, status); });
}

void SimWorkers::Answered(Worker* worker, const grpc::Status& status) {
  if (status.ok() && !worker->response.superseded()) {
    std::vector<v1::SlotReport> slots;
    for (const v1::Assignment& assignment : worker->response.assignments()) {
      if (assignment.stop()) continue;
      const bool known = std::any_of(worker->slots.begin(), worker->slots.end(), [&](const v1::SlotReport& s) {
        return s.token().random() == assignment.token().random();
      });
      if (!known) given_(worker->index, assignment);
      v1::SlotReport& slot = slots.emplace_back();
      slot.set_tenant(assignment.tenant());
      slot.set_job(assignment.job());
      *slot.mutable_token() = assignment.token();
      slot.set_stage("load");
      if (options_.end_at_once) slot.mutable_outcome()->set_reason("INVALID_SPEC");
    }
    if (slots.empty() && !worker->slots.empty() && taken_) taken_(worker->index);
    worker->slots = std::move(slots);
  }
  Call(worker);
  std::lock_guard lock(mu_);
  --outstanding_;
  idle_.notify_all();
}

}  // namespace swage
