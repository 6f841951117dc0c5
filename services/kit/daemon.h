// What the mains of the daemons share: tracing to a file, errors to stderr, serving until SIGTERM, draining.
// No gRPC in this header.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/telemetry/trace.h"
#include "services/kit/signals.h"

namespace grpc {
class Service;
}

namespace swage {

// "error: ..." with the next step on stderr; returns the exit code, 1.
int ReportFailure(const std::string& daemon, const Status& status);

// Spans of `service` as JSON lines in <dir>/<service>.jsonl, the folder made if missing.
StatusOr<std::unique_ptr<Tracer>> OpenTracer(const std::string& service, const std::string& dir);

struct ServeOptions {
  std::string daemon;               // "swage-store"
  std::vector<std::string> listen;
  std::vector<grpc::Service*> services;
  std::function<void()> begin_drain;  // ends what would never end by itself: watches, held calls; may be null
  int drain_ms = 5000;
};
// Prints "<daemon> ready: <addresses>" on stdout when calls are taken; returns after SIGTERM or SIGINT and the drain.
Status ServeUntilSignalled(TerminationSignals* signals, const ServeOptions& options);

}  // namespace swage
