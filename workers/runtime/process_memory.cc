#include "workers/runtime/process_memory.h"

#include <malloc.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/text.h"

namespace swage {
namespace {

// A line "VmHWM:   123 kB" of /proc/self/status.
uint64_t StatusLine(std::string_view key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (StartsWith(line, key)) return std::strtoull(line.c_str() + key.size(), nullptr, 10) * 1024;
  }
  return 0;
}

}  // namespace

uint64_t ResidentBytes() { return StatusLine("VmRSS:"); }
uint64_t AnonymousBytes() { return StatusLine("RssAnon:"); }
uint64_t PeakResidentBytes() { return StatusLine("VmHWM:"); }

void ReturnWhatIsFreed() { ::mallopt(M_MMAP_THRESHOLD, 4 << 20); }

void ResetPeak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5";  // man 5 proc: resets the peak resident size
}

}  // namespace swage
