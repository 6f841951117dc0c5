// The whole platform in one process: what `swage up` runs. Store, state, scheduler, control and a worker on one gRPC
// server; jobs still run in child processes. No gRPC in this header.
//
//   auto platform = EmbeddedPlatform::Start({.data_dir = "/tmp/swage"});
//   ... clients talk to (*platform)->address() ...
//   (*platform)->Stop();
//
// <data>/lock            held while it runs; its content says who holds it
// <data>/run/            0700: the socket, and `address` for commands that are given --data
// <data>/state.sqlite, store/, worker/, traces/
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/status.h"

namespace swage {

struct EmbeddedOptions {
  std::string data_dir;
  std::string listen;            // "" = the unix socket only; "127.0.0.1:0" adds TCP
  std::string http;              // "" = no HTTP
  std::string child_executable = "/proc/self/exe";  // run as: child_executable __job
  int slots = 1;
  int threads_per_job = 0;       // 0: cores / slots
  uint64_t memory_bytes = 0;     // for jobs; 0: 80 % of the machine's
  int lease_ms = 0;              // 0: limits::kLeaseMs
  Clock* clock = Clock::Real();
};

class EmbeddedPlatform {
 public:
  // Ready to be called when it returns. UNAVAILABLE/ALREADY_RUNNING when another process has the data folder.
  static StatusOr<std::unique_ptr<EmbeddedPlatform>> Start(const EmbeddedOptions& options);
  virtual ~EmbeddedPlatform() = default;  // stops
  virtual std::string address() const = 0;        // "unix:..."
  virtual std::string tcp_address() const = 0;    // "" without `listen`
  virtual std::string http_address() const = 0;   // "" without `http`
  // The worker drains (children checkpoint), then scheduler, control, store. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace swage
