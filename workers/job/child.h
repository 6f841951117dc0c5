// The child process of a job (`swage __job`, `swage-worker __job`). Speaks JSON lines over fd 3, a
// socket:
//   in   {"run": {EngineRequest's fields by name, plus "trace_file", "traceparent", "job",
//   "attempt"}}   first line
//        {"stop": true}      end once the block under way is in the checkpoint; SIGTERM says the same
//        {"cancel": true}    end at once
//        {"gathered": ["hex", ...]}   of a gang: what each member's process said, by rank
//   out  {"progress": {"stage", "fraction", "eta_seconds", "message", "peak_bytes"}}
//        {"rendezvous": "hex"}   of a gang: what the other members' processes need to reach this one; said once
//        {"done": {"report_bytes": N}}            then exits 0; the artifact is in out_dir
//        {"failed": {"code": "INVALID_ARGUMENT", "reason", "message", "next_step"}}   then exits 1
// EOF on fd 3 means that the daemon is gone: the child stops at once (exit 3). It holds a lock on
// <scratch_dir>/lock for its whole life, waiting for an earlier child to be gone first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "workers/job/engine.h"

namespace swage {

int JobChildMain();  // the whole life of the child; returns the exit code
// First thing in main: the exit code, where this process was started as `__job` or `__probe THREADS`
// (workers/job/probe.h).
std::optional<int> RunAsChild(int argc, char** argv);

// Both ends of the protocol.
std::string EncodeRun(const EngineRequest& request, const std::string& trace_file,
                      const std::string& job, int attempt);
struct ChildRun {
  EngineRequest request;
  std::string trace_file, job;
  int attempt = 0;
};
StatusOr<ChildRun> DecodeRun(const std::string& line);
struct ChildMessage {
  enum class Kind { kProgress, kDone, kFailed, kRendezvous } kind = Kind::kProgress;
  Progress progress;
  Status failure;             // kFailed: with reason and next step
  uint64_t report_bytes = 0;  // kDone
  std::string rendezvous;     // kRendezvous: bytes, at most limits::kRendezvousBytes
};
std::string EncodeMessage(const ChildMessage& message);
StatusOr<ChildMessage> DecodeMessage(const std::string& line);
std::string EncodeGathered(const std::vector<std::string>& by_rank);
StatusOr<std::vector<std::string>> DecodeGathered(const std::string& line);

}  // namespace swage
