#include "clients/cli/up.h"

#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/env.h"
#include "base/log.h"
#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"
#include "services/embedded/embedded.h"
#include "services/kit/signals.h"

namespace swage {
namespace {

// Since the kernel started this process, so that loading counts too; to 10 ms.
int64_t MillisSinceStart() {
  std::ifstream stat("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 2)));  // from the third on
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;  // 22: start time in clock ticks since boot
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const double started = std::atof(field.c_str()) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return static_cast<int64_t>((static_cast<double>(now.tv_sec) + now.tv_nsec * 1e-9 - started) * 1e3);
}

void SayReady(const UpOptions& options, const EmbeddedPlatform& platform) {
  const int64_t ready_ms = MillisSinceStart();
  if (options.json) {
    const nlohmann::json line = {{"ready_ms", ready_ms},
                                 {"address", platform.address()},
                                 {"tcp_address", platform.tcp_address()},
                                 {"http_address", platform.http_address()},
                                 {"data", options.data_dir},
                                 {"pid", ::getpid()}};
    PrintOut(line.dump() + "\n");
    return;
  }
  std::string line = Cat("ready in ", ready_ms, " ms: ", platform.address());
  if (!platform.tcp_address().empty()) line += Cat(" and ", platform.tcp_address());
  if (!platform.http_address().empty()) line += Cat(", page http://", platform.http_address(), "/");
  PrintOut(Cat(line, ", data ", options.data_dir, " (Ctrl-C stops)\n"));
}

}  // namespace

StatusOr<int> RunUp(const UpOptions& options) {
  TerminationSignals signals;  // before any thread is started
  SetLogName("swage");
  EmbeddedOptions embedded;
  embedded.data_dir = options.data_dir;
  embedded.http = options.http;
  embedded.listen = options.listen;
  embedded.lease_ms = options.lease_ms;
  SWAGE_ASSIGN_OR_RETURN(const auto platform, EmbeddedPlatform::Start(embedded));
  SayReady(options, *platform);
  signals.Wait();
  if (!options.json) PrintErr("stopping: the worker drains, then the services end (again Ctrl-C ends at once)\n");
  platform->Stop();
  return kExitOk;
}

}  // namespace swage
