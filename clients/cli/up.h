// `swage up`: the whole platform in this process until Ctrl-C or SIGTERM.
#pragma once

#include <string>

#include "base/status.h"

namespace swage {

struct UpOptions {
  std::string data_dir;
  std::string http;    // "" = none
  std::string listen;  // "" = the unix socket only
  int lease_ms = 0;    // 0: limits::kLeaseMs
  bool json = false;
};

// Prints one line when ready; returns the exit code after a graceful stop.
StatusOr<int> RunUp(const UpOptions& options);

}  // namespace swage
