#include "services/kit/faults.h"

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>

#include "base/env.h"
#include "base/limits.h"
#include "base/rng.h"

namespace swage {
namespace {

using grpc::experimental::ClientRpcInfo;
using grpc::experimental::InterceptionHookPoints;

constexpr uint64_t kFaultsBytes = 64 << 10;
constexpr auto kFileLookEvery = std::chrono::milliseconds(20);

bool Happens(double probability) {
  return static_cast<double>(RandomU64() >> 11) * 0x1p-53 < probability;
}

// What shall happen, and how often it has happened to each RPC. Thread-safe.
class FaultPlan {
 public:
  explicit FaultPlan(std::vector<RpcFault> faults) : faults_(std::move(faults)) {}

  std::vector<RpcFault> Draw(const std::string& method, bool unary) {
    std::vector<RpcFault> drawn;
    std::lock_guard lock(mu_);
    for (size_t i = 0; i < faults_.size(); ++i) {
      const RpcFault& fault = faults_[i];
      if (fault.method != "*" && fault.method != method) continue;
      if (fault.kind == RpcFault::Kind::kDup && !unary) continue;
      int& times = times_[{i, method}];
      if (!Happens(times < fault.at_least ? std::max(fault.probability, 0.5) : fault.probability)) continue;
      ++times;
      drawn.push_back(fault);
    }
    return drawn;
  }

 private:
  const std::vector<RpcFault> faults_;
  std::mutex mu_;
  std::map<std::pair<size_t, std::string>, int> times_;
};

// A plan that never changes, or one that a file says.
class FaultSource {
 public:
  explicit FaultSource(std::shared_ptr<FaultPlan> plan) : plan_(std::move(plan)) {}
  explicit FaultSource(std::string path) : path_(std::move(path)) {}

  std::shared_ptr<FaultPlan> Now() {
    std::lock_guard lock(mu_);
    const auto now = std::chrono::steady_clock::now();
    if (path_.empty() || now - looked_ < kFileLookEvery) return plan_;
    looked_ = now;
    const auto text = ReadFile(Env::Posix(), path_, kFaultsBytes);
    const std::string wanted = text.ok() ? *text : "";
    if (wanted == text_) return plan_;
    const auto parsed = ParseRpcFaults(wanted);
    SWAGE_CHECK(parsed.ok(), path_, ": ", MessageOf(parsed.status()));
    text_ = wanted;
    plan_ = parsed->empty() ? nullptr : std::make_shared<FaultPlan>(*parsed);
    return plan_;
  }

 private:
  const std::string path_;
  std::mutex mu_;
  std::shared_ptr<FaultPlan> plan_;  // null: no faults
  std::string text_;
  std::chrono::steady_clock::time_point looked_;
};

// A second sending of a unary call, that nobody waits for. On a thread of its own, and not by a callback: the call may
// hold the last reference to its channel, and a channel that ends in one of gRPC's callback threads takes the process
// along (1.51).
class SecondCall {
 public:
  SecondCall(std::string method, const std::multimap<std::string, std::string>& metadata, grpc::ByteBuffer request)
      : method_(std::move(method)), request_(std::move(request)) {
    for (const auto& [key, value] : metadata) context_.AddMetadata(key, value);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(limits::kUnaryDeadlineMs));
  }
  static void Send(std::unique_ptr<SecondCall> call, std::shared_ptr<grpc::ChannelInterface> channel) {
    // Begun here, where the channel is sure to be there; the call keeps it from then on.
    call->reader_ = grpc::GenericStub(std::move(channel))
                        .PrepareUnaryCall(&call->context_, call->method_, call->request_, &call->queue_);
    call->reader_->StartCall();
    std::thread([call = std::move(call)] {
      grpc::ByteBuffer response;
      grpc::Status status;
      call->reader_->Finish(&response, &status, nullptr);
      void* tag = nullptr;
      bool ok = false;
      call->queue_.Next(&tag, &ok);
      call->queue_.Shutdown();
      while (call->queue_.Next(&tag, &ok)) {
      }
    }).detach();
  }

 private:
  const std::string method_;
  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
};

class FaultInterceptor : public grpc::experimental::Interceptor {
 public:
  FaultInterceptor(std::vector<RpcFault> drawn, ClientRpcInfo* info) : drawn_(std::move(drawn)), info_(info) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    const bool begins = methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA);
    if (begins) Begin(methods);
    if (dropped_) {
      if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_RECV_MESSAGE)) {
        methods->FailHijackedRecvMessage();
      }
      if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_RECV_STATUS)) {
        *methods->GetRecvStatus() = grpc::Status(grpc::StatusCode::UNAVAILABLE, "injected: the request was dropped");
      }
      return begins ? methods->Hijack() : methods->Proceed();
    }
    if (doubled_ && methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_MESSAGE)) {
      second_ = std::make_unique<SecondCall>(info_->method(), metadata_, *methods->GetSerializedSendMessage());
      channel_ = methods->GetInterceptedChannel();
      if (Happens(0.5)) SecondCall::Send(std::move(second_), channel_);  // overtakes the first, perhaps
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_STATUS)) {
      if (second_ != nullptr) SecondCall::Send(std::move(second_), channel_);
      if (lost_) {
        *methods->GetRecvStatus() = grpc::Status(grpc::StatusCode::UNAVAILABLE, "injected: the answer was lost");
      }
    }
    methods->Proceed();
  }

 private:
  void Begin(grpc::experimental::InterceptorBatchMethods* methods) {
    for (const RpcFault& fault : drawn_) {
      switch (fault.kind) {
        case RpcFault::Kind::kDrop: dropped_ = true; break;
        case RpcFault::Kind::kLose: lost_ = true; break;
        case RpcFault::Kind::kDup: doubled_ = true; break;
        case RpcFault::Kind::kDelay: std::this_thread::sleep_for(std::chrono::milliseconds(fault.delay_ms)); break;
      }
    }
    if (doubled_) metadata_ = *methods->GetSendInitialMetadata();
  }

  const std::vector<RpcFault> drawn_;
  ClientRpcInfo* const info_;  // outlives the interceptor
  bool dropped_ = false, lost_ = false, doubled_ = false;
  std::multimap<std::string, std::string> metadata_;
  std::unique_ptr<SecondCall> second_;
  std::shared_ptr<grpc::ChannelInterface> channel_;
};

class FaultFactory : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit FaultFactory(std::shared_ptr<FaultSource> source) : source_(std::move(source)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(ClientRpcInfo* info) override {
    const std::shared_ptr<FaultPlan> plan = source_->Now();
    if (plan == nullptr) return nullptr;
    const std::string path = info->method();
    auto drawn = plan->Draw(path.substr(path.rfind('/') + 1), info->type() == ClientRpcInfo::Type::UNARY);
    return drawn.empty() ? nullptr : new FaultInterceptor(std::move(drawn), info);
  }

 private:
  const std::shared_ptr<FaultSource> source_;
};

ClientInterceptors FromSource(std::shared_ptr<FaultSource> source) {
  ClientInterceptors interceptors;
  interceptors.push_back(std::make_unique<FaultFactory>(std::move(source)));
  return interceptors;
}

Status BadFaults(const std::string& entry) {
  return InvalidInput("BAD_FAULTS", Cat("'", entry, "' is no fault"),
                      "write method:drop:P, method:lose:P, method:dup:P or method:delay:P:MS with 0 <= P <= 1, each "
                      "perhaps with :min=N");
}

StatusOr<RpcFault> ParseFault(const std::string& entry) {
  std::vector<std::string> parts = Split(Trim(entry), ':');
  RpcFault fault;
  if (parts.size() > 3 && StartsWith(parts.back(), "min=")) {
    fault.at_least = std::atoi(parts.back().c_str() + 4);
    if (fault.at_least <= 0) return BadFaults(entry);
    parts.pop_back();
  }
  if (parts.size() < 3 || parts[0].empty()) return BadFaults(entry);
  fault.method = parts[0];
  char* end = nullptr;
  fault.probability = std::strtod(parts[2].c_str(), &end);
  if (parts[2].empty() || *end != '\0' || !(fault.probability >= 0 && fault.probability <= 1)) return BadFaults(entry);
  if (parts[1] == "delay") {
    fault.kind = RpcFault::Kind::kDelay;
    fault.delay_ms = parts.size() == 4 ? std::atoi(parts[3].c_str()) : 0;
    if (fault.delay_ms <= 0 || fault.delay_ms > 600000) return BadFaults(entry);
    return fault;
  }
  static const std::map<std::string, RpcFault::Kind> kKinds = {
      {"drop", RpcFault::Kind::kDrop}, {"lose", RpcFault::Kind::kLose}, {"dup", RpcFault::Kind::kDup}};
  const auto kind = kKinds.find(parts[1]);
  if (kind == kKinds.end() || parts.size() != 3) return BadFaults(entry);
  fault.kind = kind->second;
  return fault;
}

}  // namespace

StatusOr<std::vector<RpcFault>> ParseRpcFaults(std::string_view text) {
  std::vector<RpcFault> faults;
  if (Trim(text).empty()) return faults;
  for (const std::string& entry : Split(text, ',')) {
    SWAGE_ASSIGN_OR_RETURN(RpcFault fault, ParseFault(entry));
    faults.push_back(std::move(fault));
  }
  return faults;
}

ClientInterceptors MakeFaultInterceptors(std::vector<RpcFault> faults) {
  if (faults.empty()) return {};
  return FromSource(std::make_shared<FaultSource>(std::make_shared<FaultPlan>(std::move(faults))));
}

ClientInterceptors FaultInterceptorsFromFile(const std::string& path) {
  return FromSource(std::make_shared<FaultSource>(path));
}

ClientInterceptors FaultInterceptorsFromEnvironment() {
  static const std::shared_ptr<FaultSource> source = []() -> std::shared_ptr<FaultSource> {
    const char* variable = std::getenv("SWAGE_RPC_FAULTS");
    const std::string text = variable == nullptr ? "" : variable;
    if (StartsWith(text, "@")) return std::make_shared<FaultSource>(text.substr(1));
    const auto parsed = ParseRpcFaults(text);
    SWAGE_CHECK(parsed.ok(), "SWAGE_RPC_FAULTS: ", MessageOf(parsed.status()));
    if (parsed->empty()) return nullptr;
    return std::make_shared<FaultSource>(std::make_shared<FaultPlan>(*parsed));
  }();
  return source == nullptr ? ClientInterceptors() : FromSource(source);
}

}  // namespace swage
