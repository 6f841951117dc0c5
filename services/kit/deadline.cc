#include "services/kit/deadline.h"

#include <grpcpp/server_context.h>

#include <cstring>

namespace swage {

using SteadyClock = std::chrono::steady_clock;

class DeadlineInterceptor : public grpc::experimental::Interceptor {
 public:
  DeadlineInterceptor(std::shared_ptr<DeadlineKeeper> keeper, grpc::experimental::ServerRpcInfo* info)
      : keeper_(std::move(keeper)), info_(info) {
    keeper_->Enter();
  }
  ~DeadlineInterceptor() override {
    Release();
    keeper_->Leave();
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using Point = grpc::experimental::InterceptionHookPoints;
    if (methods->QueryInterceptionHookPoint(Point::POST_RECV_INITIAL_METADATA) && !watching_ &&
        info_->server_context()->deadline() == std::chrono::system_clock::time_point::max()) {
      key_ = keeper_->Watch(info_->server_context(), info_->type() == grpc::experimental::ServerRpcInfo::Type::UNARY);
      watching_ = true;
    }
    if (methods->QueryInterceptionHookPoint(Point::PRE_SEND_STATUS)) Release();
    methods->Proceed();
  }

 private:
  void Release() {
    if (watching_) keeper_->Forget(key_);
    watching_ = false;
  }
  std::shared_ptr<DeadlineKeeper> keeper_;
  grpc::experimental::ServerRpcInfo* info_;
  DeadlineKeeper::Key key_;
  bool watching_ = false;
};

namespace {
class InterceptorFactory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit InterceptorFactory(std::shared_ptr<DeadlineKeeper> keeper) : keeper_(std::move(keeper)) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override {
    if (std::strncmp(info->method(), "/grpc.", 6) == 0) return nullptr;  // health and reflection watch without end
    return new DeadlineInterceptor(keeper_, info);
  }

 private:
  std::shared_ptr<DeadlineKeeper> keeper_;
};
}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> DeadlineKeeper::Factory(
    std::shared_ptr<DeadlineKeeper> keeper) {
  return std::make_unique<InterceptorFactory>(std::move(keeper));
}

DeadlineKeeper::DeadlineKeeper(int unary_ms, int stream_ms)
    : unary_ms_(unary_ms), stream_ms_(stream_ms), thread_([this] { Loop(); }) {}

DeadlineKeeper::~DeadlineKeeper() {
  {
    std::lock_guard<std::recursive_mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

DeadlineKeeper::Key DeadlineKeeper::Watch(grpc::ServerContextBase* context, bool unary) {
  Key key{SteadyClock::now() + std::chrono::milliseconds(unary ? unary_ms_ : stream_ms_), context};
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  const bool earliest = calls_.empty() || key < calls_.begin()->first;
  calls_[key] = true;
  if (earliest) changed_.notify_all();
  return key;
}

void DeadlineKeeper::Forget(const Key& key) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  calls_.erase(key);
}

void DeadlineKeeper::Enter() {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  ++in_flight_;
}

void DeadlineKeeper::Leave() {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  if (--in_flight_ == 0) changed_.notify_all();
}

bool DeadlineKeeper::WaitUntilIdle(int timeout_ms) {
  std::unique_lock<std::recursive_mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return in_flight_ == 0; });
}

void DeadlineKeeper::Loop() {
  std::unique_lock<std::recursive_mutex> lock(mutex_);
  while (!stopping_) {
    if (calls_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const Key first = calls_.begin()->first;
    if (SteadyClock::now() < first.first) {
      changed_.wait_until(lock, first.first);
      continue;
    }
    calls_.erase(first);
    first.second->TryCancel();  // under the lock: the context cannot be destroyed meanwhile
  }
}

}  // namespace swage
