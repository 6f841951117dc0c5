// swage-worker: runs jobs, each in a child process (`swage-worker __job`).
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/openmp_wait.h"
#include "base/env.h"
#include "base/log.h"
#include "services/kit/daemon.h"
#include "services/kit/version.h"
#include "workers/daemon/machine.h"
#include "workers/daemon/worker_daemon.h"
#include "workers/job/child.h"

namespace swage {
namespace {

Status Work(WorkerOptions options, std::string traces, TerminationSignals* signals) {
  if (traces.empty()) traces = JoinPath(options.data_dir, "traces");
  SWAGE_ASSIGN_OR_RETURN(const auto tracer, OpenTracer("worker", traces));
  options.tracer = tracer.get();
  options.trace_file = JoinPath(traces, "job.jsonl");
  options.child_executable = "/proc/self/exe";
  SWAGE_ASSIGN_OR_RETURN(const auto daemon, WorkerDaemon::Start(options));
  std::printf("swage-worker ready: scheduler %s, store %s\n", options.scheduler_address.c_str(),
              options.store_address.c_str());
  std::fflush(stdout);
  signals->Wait();
  daemon->Drain();
  return absl::OkStatus();
}

}  // namespace
}  // namespace swage

int main(int argc, char** argv) {
  swage::LetOpenMpThreadsSleep(argv);
  if (const auto code = swage::RunAsChild(argc, argv)) return *code;
  swage::TerminationSignals signals;
  swage::SetLogName("swage-worker");
  CLI::App app("Runs the jobs that the scheduler gives it.");
  swage::WorkerOptions options;
  options.address = swage::HostName();
  options.drain_seconds = -1;
  std::string traces;
  app.set_version_flag("--version", std::string(swage::kVersion));
  app.add_option("--data", options.data_dir, "Folder for staged inputs and scratch; one worker each")->required();
  app.add_option("--scheduler", options.scheduler_address, "Address of swage-scheduler; of several: a,b,c")->required();
  app.add_option("--store", options.store_address, "Address of swage-store")->required();
  app.add_option("--slots", options.slots, "Jobs at the same time")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--threads", options.threads_per_job, "Of each job; 0: cores / slots")->capture_default_str();
  app.add_option("--memory,--memory-bytes", options.memory_bytes,
                 "Of the host, for all jobs: bytes, or 12GiB; 0: 80 % of the machine's or its control group's")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--device", options.devices, "An accelerator to use, by id or kind; repeat; default all; none: no one");
  app.add_option("--address", options.address, "Where other members of a gang reach this machine")->capture_default_str();
  app.add_option("--drain-seconds", options.drain_seconds,
                 "After SIGTERM: how long running jobs may go on before they are stopped with a checkpoint; -1: to their end")
      ->check(CLI::Range(-1, 1000000))
      ->capture_default_str();
  app.add_option("--traces", traces, "Folder for traces; default: traces in the data folder");
  CLI11_PARSE(app, argc, argv);
  const swage::Status status = swage::Work(options, traces, &signals);
  return status.ok() ? 0 : swage::ReportFailure("swage-worker", status);
}
