#include "services/kit/faults.h"

#include <grpcpp/support/status.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/rng.h"

namespace swage {
namespace {

using grpc::experimental::InterceptionHookPoints;

bool Happens(double probability) {
  return static_cast<double>(RandomU64() >> 11) * 0x1p-53 < probability;
}

class FaultInterceptor : public grpc::experimental::Interceptor {
 public:
  explicit FaultInterceptor(std::vector<RpcFault> faults) : faults_(std::move(faults)) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    const bool begins = methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA);
    if (begins) Decide();
    if (dropped_) {
      if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_RECV_MESSAGE)) {
        methods->FailHijackedRecvMessage();
      }
      if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_RECV_STATUS)) {
        *methods->GetRecvStatus() = grpc::Status(grpc::StatusCode::UNAVAILABLE, "injected: the request was dropped");
      }
      return begins ? methods->Hijack() : methods->Proceed();
    }
    if (lost_ && methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_STATUS)) {
      *methods->GetRecvStatus() = grpc::Status(grpc::StatusCode::UNAVAILABLE, "injected: the answer was lost");
    }
    methods->Proceed();
  }

 private:
  void Decide() {
    for (const RpcFault& fault : faults_) {
      if (!Happens(fault.probability)) continue;
      switch (fault.kind) {
        case RpcFault::Kind::kDrop: dropped_ = true; break;
        case RpcFault::Kind::kLose: lost_ = true; break;
        case RpcFault::Kind::kDelay: std::this_thread::sleep_for(std::chrono::milliseconds(fault.delay_ms)); break;
      }
    }
  }

  const std::vector<RpcFault> faults_;
  bool dropped_ = false, lost_ = false;
};

class FaultFactory : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit FaultFactory(std::vector<RpcFault> faults) : faults_(std::move(faults)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo* info) override {
    const std::string_view path = info->method();
    const std::string_view method = path.substr(path.rfind('/') + 1);
    std::vector<RpcFault> mine;
    for (const RpcFault& fault : faults_) {
      if (fault.method == "*" || fault.method == method) mine.push_back(fault);
    }
    return mine.empty() ? nullptr : new FaultInterceptor(std::move(mine));
  }

 private:
  const std::vector<RpcFault> faults_;
};

Status BadFaults(const std::string& entry) {
  return InvalidInput("BAD_FAULTS", Cat("'", entry, "' is no fault"),
                      "write method:drop:P, method:lose:P or method:delay:P:MS with 0 <= P <= 1");
}

}  // namespace

StatusOr<std::vector<RpcFault>> ParseRpcFaults(std::string_view text) {
  std::vector<RpcFault> faults;
  if (Trim(text).empty()) return faults;
  for (const std::string& entry : Split(text, ',')) {
    const std::vector<std::string> parts = Split(Trim(entry), ':');
    if (parts.size() < 3 || parts[0].empty()) return BadFaults(entry);
    RpcFault fault;
    fault.method = parts[0];
    char* end = nullptr;
    fault.probability = std::strtod(parts[2].c_str(), &end);
    if (parts[2].empty() || *end != '\0' || !(fault.probability >= 0 && fault.probability <= 1)) return BadFaults(entry);
    if (parts[1] == "delay" && parts.size() == 4) {
      fault.kind = RpcFault::Kind::kDelay;
      fault.delay_ms = std::atoi(parts[3].c_str());
      if (fault.delay_ms <= 0 || fault.delay_ms > 600000) return BadFaults(entry);
    } else if ((parts[1] == "drop" || parts[1] == "lose") && parts.size() == 3) {
      fault.kind = parts[1] == "drop" ? RpcFault::Kind::kDrop : RpcFault::Kind::kLose;
    } else {
      return BadFaults(entry);
    }
    faults.push_back(std::move(fault));
  }
  return faults;
}

ClientInterceptors MakeFaultInterceptors(std::vector<RpcFault> faults) {
  ClientInterceptors interceptors;
  if (!faults.empty()) interceptors.push_back(std::make_unique<FaultFactory>(std::move(faults)));
  return interceptors;
}

ClientInterceptors FaultInterceptorsFromEnvironment() {
  static const std::vector<RpcFault> faults = [] {
    const char* text = std::getenv("SWAGE_RPC_FAULTS");
    const auto parsed = ParseRpcFaults(text == nullptr ? "" : text);
    SWAGE_CHECK(parsed.ok(), "SWAGE_RPC_FAULTS: ", MessageOf(parsed.status()));
    return *parsed;
  }();
  return MakeFaultInterceptors(faults);
}

}  // namespace swage
