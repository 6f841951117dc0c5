// The devices of this machine, as a short-lived child process sees them: the daemon itself keeps no
// device runtime in its memory, and a device whose driver hangs or crashes takes only the probe with
// it. `__probe THREADS` (and swage-cuda-probe, where the CUDA kernels are built) writes one line to
// fd 3 and exits 0:
//   {"devices": [{"id": "cpu0", "kind": "cpu", "numerics_class": "cpu/...", "features": ["avx2"],
//                 "total_bytes": 0, "free_bytes": 0, "problem": ""}]}
// Each device has done the self-test; "problem" says what it got wrong. For the CPU the bytes are 0:
// memory is the daemon's to measure. `threads` are those of a job (0: all cores), as they are part
// of the numerics class.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace swage {

struct ProbedDevice {
  std::string id, kind, numerics_class;
  std::vector<std::string> features = {};  // "avx2", "avx512", "amx", "sm_90"
  uint64_t total_bytes = 0, free_bytes = 0;
  std::string problem = {};  // "" = healthy
};

int ProbeChildMain(int threads);           // the whole life of the child; returns the exit code
ProbedDevice ProbeCpu(int threads);
int WriteProbe(const std::vector<ProbedDevice>& devices);  // to fd 3; returns the exit code

// Both ends of the line.
std::string EncodeProbe(const std::vector<ProbedDevice>& devices);
StatusOr<std::vector<ProbedDevice>> DecodeProbe(const std::string& line);

}  // namespace swage
