#include "storage/server/store_server.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/limits.h"
#include "storage/server/artifact_service.h"

namespace swage {
namespace {

constexpr auto kLookForIdleStreams = std::chrono::seconds(5);

class StoreServerImpl : public StoreServer {
 public:
  StoreServerImpl(std::unique_ptr<Store> store, const StoreOptions& options)
      : store_(std::move(store)), service_(store_.get(), options.clock, options.tracer), watcher_([this] { Watch(); }) {}
  ~StoreServerImpl() override { Shutdown(); }

  std::vector<grpc::Service*> services() override { return {&service_}; }

  void Shutdown() override {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    ended_.notify_all();
    if (watcher_.joinable()) watcher_.join();
    service_.streams()->CancelAll();
  }

 private:
  void Watch() {
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, kLookForIdleStreams, [this] { return ending_; })) {
      service_.streams()->CancelIdle(limits::kStreamIdleDeadlineMs);
    }
  }

  std::unique_ptr<Store> store_;
  ArtifactService service_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool ending_ = false;
  std::thread watcher_;
};

}  // namespace

StatusOr<std::unique_ptr<StoreServer>> StoreServer::Open(const StoreOptions& options) {
  StoreConfig config;
  config.data_dir = options.data_dir;
  config.env = options.env;
  config.clock = options.clock;
  config.max_bytes = options.max_bytes;
  SWAGE_ASSIGN_OR_RETURN(auto store, Store::Open(config));
  return std::unique_ptr<StoreServer>(std::make_unique<StoreServerImpl>(std::move(store), options));
}

}  // namespace swage
