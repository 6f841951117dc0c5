// swage-control: JobService.
#include <CLI/CLI.hpp>

#include "base/env.h"
#include "base/log.h"
#include "scheduler/state/state_uri.h"
#include "services/control/control_server.h"
#include "services/kit/daemon.h"
#include "services/kit/version.h"

namespace swage {
namespace {

struct Flags {
  std::string listen = "127.0.0.1:7401", state, store, scheduler, advertise_store, advertise_scheduler, traces;
};

Status Serve(const Flags& flags, TerminationSignals* signals) {
  SWAGE_ASSIGN_OR_RETURN(const auto tracer,
                         OpenTracer("control", flags.traces.empty() ? JoinPath(StateFolder(flags.state), "traces")
                                                                    : flags.traces));
  ControlOptions options;
  SWAGE_ASSIGN_OR_RETURN(auto state, OpenStateStore(flags.state));
  options.state = std::move(state);
  options.store_address = flags.store;
  options.advertised_store_address = flags.advertise_store.empty() ? flags.store : flags.advertise_store;
  options.advertised_scheduler_address = flags.advertise_scheduler.empty() ? flags.scheduler : flags.advertise_scheduler;
  options.tracer = tracer.get();
  SWAGE_ASSIGN_OR_RETURN(const auto control, ControlServer::Start(options));
  return ServeUntilSignalled(signals, {"swage-control", {flags.listen}, control->services(),
                                       [&control] { control->Shutdown(); }});
}

}  // namespace
}  // namespace swage

int main(int argc, char** argv) {
  swage::TerminationSignals signals;
  swage::SetLogName("swage-control");
  CLI::App app("Takes jobs: checks them, records them, answers for them.");
  swage::Flags flags;
  app.set_version_flag("--version", std::string(swage::kVersion));
  app.add_option("--listen", flags.listen, "Address to serve at; port 0 is chosen")->capture_default_str();
  app.add_option("--state", flags.state, "Shared with the scheduler: a SQLite file, or a URI (redis://HOST:PORT, docs/operations/state.md)")->required();
  app.add_option("--store", flags.store, "Address of swage-store")->required();
  app.add_option("--scheduler", flags.scheduler, "Address of swage-scheduler, told to clients; of several: a,b,c")->required();
  app.add_option("--advertise-store", flags.advertise_store, "Address of the store as clients see it");
  app.add_option("--advertise-scheduler", flags.advertise_scheduler, "Address of the scheduler as clients see it");
  app.add_option("--traces", flags.traces, "Folder for traces; default: traces beside the state file, or here");
  CLI11_PARSE(app, argc, argv);
  const swage::Status status = swage::Serve(flags, &signals);
  return status.ok() ? 0 : swage::ReportFailure("swage-control", status);
}
