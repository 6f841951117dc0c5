// SIGTERM and SIGINT, taken synchronously. Make one first thing in main, before any thread exists: the signals are
// blocked in this thread and in all that come after, so that only Wait sees them. SIGPIPE is ignored.
// Children must be given an empty mask (workers/daemon/child_process does).
#pragma once

#include <signal.h>

namespace swage {

class TerminationSignals {
 public:
  TerminationSignals();
  int Wait();  // SIGTERM or SIGINT; a second one while the caller shuts down ends the process at once

 private:
  sigset_t set_;
};

}  // namespace swage
