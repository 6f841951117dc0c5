#include "services/kit/daemon.h"

#include <cstdio>

#include "base/env.h"
#include "base/log.h"
#include "services/kit/serving.h"

namespace swage {

int ReportFailure(const std::string& daemon, const Status& status) {
  std::fprintf(stderr, "%s: error: %s", daemon.c_str(), MessageOf(status).c_str());
  if (const std::string reason = ReasonOf(status); !reason.empty()) std::fprintf(stderr, " (%s)", reason.c_str());
  if (const std::string next = NextStepOf(status); !next.empty()) std::fprintf(stderr, "\n  do this: %s", next.c_str());
  std::fprintf(stderr, "\n");
  return 1;
}

StatusOr<std::unique_ptr<Tracer>> OpenTracer(const std::string& service, const std::string& dir) {
  SWAGE_RETURN_IF_ERROR(Env::Posix()->CreateDirs(dir));
  SWAGE_ASSIGN_OR_RETURN(auto sink, NewJsonLinesSink(JoinPath(dir, service + ".jsonl")));
  return std::make_unique<Tracer>(Cat("swage-", service), Clock::Real(), std::move(sink));
}

Status ServeUntilSignalled(TerminationSignals* signals, const ServeOptions& options) {
  SWAGE_ASSIGN_OR_RETURN(const auto serving, Serving::Start(options.listen, options.services));
  std::printf("%s ready: %s\n", options.daemon.c_str(), Join(serving->addresses(), " ").c_str());
  std::fflush(stdout);
  const int signal_number = signals->Wait();
  LogInfo(options.daemon, " drains after signal ", signal_number);
  serving->SetServing(false);
  if (options.begin_drain) options.begin_drain();
  serving->Drain(options.drain_ms);
  return absl::OkStatus();
}

}  // namespace swage
