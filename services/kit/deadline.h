// Gives a deadline to calls that come without one, so that no call can hold a thread or a watch for ever. An
// interceptor sees each call begin; one timer thread, asleep while there is no such call, cancels those whose time is up.
// It also knows how many calls are in flight, which a drain waits for (health and reflection do not count).
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace swage {

class DeadlineKeeper {
 public:
  DeadlineKeeper(int unary_ms, int stream_ms);
  ~DeadlineKeeper();
  // For ServerBuilder; the factory shares ownership of the keeper.
  static std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> Factory(
      std::shared_ptr<DeadlineKeeper> keeper);
  bool WaitUntilIdle(int timeout_ms);  // no call in flight

 private:
  friend class DeadlineInterceptor;
  using Key = std::pair<std::chrono::steady_clock::time_point, grpc::ServerContextBase*>;
  Key Watch(grpc::ServerContextBase* context, bool unary);
  void Forget(const Key& key);  // afterwards the context is not touched any more
  void Enter();
  void Leave();
  void Loop();

  const int unary_ms_, stream_ms_;
  // Recursive: cancelling a call may end it on this very thread, which then forgets it.
  std::recursive_mutex mutex_;
  std::condition_variable_any changed_;
  std::map<Key, bool> calls_;
  int in_flight_ = 0;
  bool stopping_ = false;
  std::thread thread_;  // last: starts when everything above is there
};

}  // namespace swage
