// swage-scheduler: WorkerService and AdminService.
#include <CLI/CLI.hpp>

#include "base/env.h"
#include "base/limits.h"
#include "base/log.h"
#include "scheduler/server/scheduler_server.h"
#include "scheduler/state/state_uri.h"
#include "services/kit/daemon.h"
#include "services/kit/version.h"

namespace swage {
namespace {

struct Flags {
  std::string listen = "127.0.0.1:7402", state, store, traces;
  int lease_ms = limits::kLeaseMs;
};

Status Serve(const Flags& flags, TerminationSignals* signals) {
  SWAGE_ASSIGN_OR_RETURN(const auto tracer,
                         OpenTracer("scheduler", flags.traces.empty() ? JoinPath(StateFolder(flags.state), "traces")
                                                                      : flags.traces));
  SchedulerOptions options;
  SWAGE_ASSIGN_OR_RETURN(auto state, OpenStateStore(flags.state));
  options.state = std::move(state);
  options.store_address = flags.store;
  options.lease_ms = flags.lease_ms;
  options.tracer = tracer.get();
  SWAGE_ASSIGN_OR_RETURN(const auto scheduler, SchedulerServer::Start(options));
  return ServeUntilSignalled(signals, {"swage-scheduler", {flags.listen}, scheduler->services(),
                                       [&scheduler] { scheduler->Shutdown(); }});
}

}  // namespace
}  // namespace swage

int main(int argc, char** argv) {
  swage::TerminationSignals signals;
  swage::SetLogName("swage-scheduler");
  CLI::App app("Decides which worker runs which job, and which result counts.");
  swage::Flags flags;
  app.set_version_flag("--version", std::string(swage::kVersion));
  app.add_option("--listen", flags.listen, "Address to serve at; port 0 is chosen")->capture_default_str();
  app.add_option("--state", flags.state, "Shared with control: a SQLite file, or a URI (redis://HOST:PORT, docs/operations/state.md)")->required();
  app.add_option("--store", flags.store, "Address of swage-store")->required();
  app.add_option("--lease-ms", flags.lease_ms, "After so long without a word a worker's job goes to another")
      ->check(CLI::Range(200, 600000))
      ->capture_default_str();
  app.add_option("--traces", flags.traces, "Folder for traces; default: traces beside the state file, or here");
  CLI11_PARSE(app, argc, argv);
  const swage::Status status = swage::Serve(flags, &signals);
  return status.ok() ? 0 : swage::ReportFailure("swage-scheduler", status);
}
