// swage-store: ArtifactService.
#include <CLI/CLI.hpp>

#include "base/env.h"
#include "base/log.h"
#include "services/kit/daemon.h"
#include "services/kit/version.h"
#include "storage/server/store_server.h"

namespace swage {
namespace {

struct Flags {
  std::string listen = "127.0.0.1:7403", data, traces;
  uint64_t max_bytes = 0;
};

Status Serve(const Flags& flags, TerminationSignals* signals) {
  SWAGE_RETURN_IF_ERROR(Env::Posix()->CreateDirs(flags.data));
  SWAGE_ASSIGN_OR_RETURN(const auto tracer,
                         OpenTracer("store", flags.traces.empty() ? JoinPath(flags.data, "traces") : flags.traces));
  StoreOptions options;
  options.data_dir = flags.data;
  options.tracer = tracer.get();
  options.max_bytes = flags.max_bytes;
  SWAGE_ASSIGN_OR_RETURN(const auto store, StoreServer::Open(options));
  const Status served = ServeUntilSignalled(signals, {"swage-store", {flags.listen}, store->services(), nullptr});
  store->Shutdown();
  return served;
}

}  // namespace
}  // namespace swage

int main(int argc, char** argv) {
  swage::TerminationSignals signals;
  swage::SetLogName("swage-store");
  CLI::App app("Keeps artifacts: every tensor once, checked whenever it is read.");
  swage::Flags flags;
  app.set_version_flag("--version", std::string(swage::kVersion));
  app.add_option("--listen", flags.listen, "Address to serve at; port 0 is chosen")->capture_default_str();
  app.add_option("--data", flags.data, "Folder of the store; one process at a time")->required();
  app.add_option("--max-bytes", flags.max_bytes, "Refuse to store more than so many bytes; 0: the disk's")
      ->capture_default_str();
  app.add_option("--traces", flags.traces, "Folder for traces; default: traces in the data folder");
  CLI11_PARSE(app, argc, argv);
  const swage::Status status = swage::Serve(flags, &signals);
  return status.ok() ? 0 : swage::ReportFailure("swage-store", status);
}
