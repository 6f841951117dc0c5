#include "services/kit/signals.h"

#include <pthread.h>

namespace swage {

TerminationSignals::TerminationSignals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigemptyset(&set_);
  sigaddset(&set_, SIGTERM);
  sigaddset(&set_, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
}

int TerminationSignals::Wait() {
  int signal_number = 0;
  while (sigwait(&set_, &signal_number) != 0) {
  }
  // From here on the default action holds: an impatient second Ctrl-C kills.
  pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
  return signal_number;
}

}  // namespace swage
