#include "workers/daemon/machine.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/rng.h"

namespace swage {
namespace {

constexpr uint64_t kSmallestCache = 1000000000;

// The widest instruction set that our kernels dispatch on.
std::string InstructionSet() {
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line)) {
    if (!StartsWith(line, "flags")) continue;
    line += ' ';
    for (const char* name : {"amx_bf16", "avx512_bf16", "avx512bw", "avx2"}) {
      if (line.find(Cat(" ", name, " ")) != std::string::npos) return name;
    }
    break;
  }
  return "generic";
}

}  // namespace

DeviceFields CpuDevice(uint64_t memory_bytes, int threads) {
  DeviceFields device;
  device.id = "cpu0";
  device.kind = "cpu";
  const uint64_t physical =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGE_SIZE));
  device.total_bytes = memory_bytes != 0 ? memory_bytes : physical / 10 * 8;
  device.numerics_class = Cat("cpu/", InstructionSet(), "/threads=", threads);
  return device;
}

StatusOr<std::string> WorkerId(Env* env, const std::string& data_dir) {
  const std::string path = JoinPath(data_dir, "worker_id");
  if (env->Exists(path)) {
    SWAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(env, path, 256));
    return std::string(Trim(text));
  }
  char host[65] = {};
  if (::gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
  const std::string id = Cat(host[0] == '\0' ? "worker" : host, "-", RandomHex(4));
  SWAGE_RETURN_IF_ERROR(WriteFileAtomic(env, path, id + "\n"));
  return id;
}

uint64_t CacheBytes(Env* env, const std::string& dir) {
  const auto free_bytes = env->FreeBytes(dir);
  return free_bytes.ok() ? std::max(*free_bytes / 2, kSmallestCache) : kSmallestCache;
}

}  // namespace swage
