// WatchJob: one object per stream, no thread of its own. It reads the job's events when the follower says that there
// are some and writes them one after another; a slow reader holds a bounded buffer.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "scheduler/state/state_store.h"
#include "services/control/directory.h"
#include "services/control/follower.h"
#include "swage/v1/job.pb.h"

namespace swage {

// Drops progress events that the next one replaces within half a second; everything else is kept.
std::vector<v1::JobEvent> ThinProgress(std::vector<v1::JobEvent> events);

class WatchSet {  // thread-safe
 public:
  WatchSet(std::shared_ptr<StateStore> state, JobDirectory* directory);
  // The reactor of a WatchJob call; frees itself.
  grpc::ServerWriteReactor<v1::JobEvent>* Start(const std::string& tenant, const std::string& id, uint64_t after);
  // Ends with `status` at once: a call whose request is wrong.
  static grpc::ServerWriteReactor<v1::JobEvent>* Fail(const Status& status);
  void Shutdown();  // ends all with UNAVAILABLE/SHUTTING_DOWN

 private:
  class Watch;
  const std::shared_ptr<StateStore> state_;
  JobDirectory* const directory_;
  std::mutex mutex_;
  bool closed_ = false;
  std::set<std::shared_ptr<Watch>> watches_;
  EventFollower follower_;  // last: its threads end first
};

}  // namespace swage
