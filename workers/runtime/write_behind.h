// Writing that overlaps with the computing of what comes next: one piece at a time is under way, and
// the next one waits for it, so that memory is bounded. An error is told by the call after it.
//
//   WriteBehind writer;
//   SWAGE_RETURN_IF_ERROR(writer.Run([=] { return WriteBlock(...); }));  // the one before has ended well
//   SWAGE_RETURN_IF_ERROR(writer.Wait());                                // and so has this one
#pragma once

#include <functional>
#include <thread>

#include "base/status.h"

namespace swage {

// For one thread. After an error nothing more is written: each later call returns it again.
class WriteBehind {
 public:
  WriteBehind() = default;
  ~WriteBehind() { (void)Wait(); }  // whoever wants to know the end asks before
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // Waits for the piece before; unless that failed, begins this one and returns.
  Status Run(std::function<Status()> write) {
    SWAGE_RETURN_IF_ERROR(Wait());
    thread_ = std::thread([this, write = std::move(write)] { status_ = write(); });
    return absl::OkStatus();
  }
  Status Wait() {
    if (thread_.joinable()) thread_.join();
    return status_;
  }

 private:
  std::thread thread_;
  Status status_;  // of the last piece; the thread's until it is joined
};

}  // namespace swage
