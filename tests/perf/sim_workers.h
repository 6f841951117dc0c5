// Many workers without a body: each keeps one Synchronize call outstanding, takes up what it is given and ends it as it
// is told. For measuring the services; no thread of its own, calls are gRPC's asynchronous ones.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "swage/v1/worker.grpc.pb.h"

namespace swage {

struct SimWorkerOptions {
  int count = 100, slots = 1;
  uint64_t bytes = uint64_t{64} << 30;
  bool end_at_once = true;  // with INVALID_SPEC, which is final
};

class SimWorkers {  // thread-safe
 public:
  using Given = std::function<void(int worker, const v1::Assignment& assignment)>;
  using Taken = std::function<void(int worker)>;  // the last answer listed nothing
  SimWorkers(std::vector<std::shared_ptr<grpc::Channel>> channels, const SimWorkerOptions& options, Given given,
             Taken taken = nullptr);
  ~SimWorkers();  // waits for the calls
  void Silence(int worker);  // it makes no further call
  uint64_t calls() const { return calls_; }

 private:
  struct Worker {
    int index = 0;
    uint64_t sequence = 0;
    bool silent = false;
    std::vector<v1::SlotReport> slots;
    v1::SynchronizeRequest request;
    v1::SynchronizeResponse response;
    std::unique_ptr<grpc::ClientContext> context;
    v1::WorkerService::Stub* stub = nullptr;
  };
  void Call(Worker* worker);
  void Answered(Worker* worker, const grpc::Status& status);

  const SimWorkerOptions options_;
  const Given given_;
  const Taken taken_;
  std::vector<std::unique_ptr<v1::WorkerService::Stub>> stubs_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::mutex mu_;
  std::condition_variable idle_;
  int outstanding_ = 0;
  bool stopping_ = false;
  std::atomic<uint64_t> calls_{0};
};

}  // namespace swage
