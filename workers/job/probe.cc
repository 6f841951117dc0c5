#include "workers/job/probe.h"

#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <utility>

#include "base/limits.h"
#include "base/modelfile/json.h"
#include "kernels/api/ops.h"
#include "workers/job/self_test.h"

namespace swage {
namespace {

using Json = nlohmann::json;

constexpr int kSocket = 3;

// Flags of /proc/cpuinfo, and what jobs call them.
std::vector<std::string> CpuFeatures() {
  std::vector<std::string> features;
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line) && !StartsWith(line, "flags")) {
  }
  line += ' ';
  const std::pair<const char*, const char*> names[] = {
      {" avx2 ", "avx2"}, {" avx512bw ", "avx512"}, {" avx512_bf16 ", "avx512_bf16"}, {" amx_bf16 ", "amx"}};
  for (const auto& [flag, name] : names) {
    if (line.find(flag) != std::string::npos) features.push_back(name);
  }
  return features;
}

ProbedDevice DeviceOf(const Json& json) {
  ProbedDevice device;
  device.id = json.at("id").get<std::string>();
  device.kind = json.at("kind").get<std::string>();
  device.numerics_class = json.at("numerics_class").get<std::string>();
  device.features = json.at("features").get<std::vector<std::string>>();
  device.total_bytes = json.at("total_bytes").get<uint64_t>();
  device.free_bytes = json.at("free_bytes").get<uint64_t>();
  device.problem = json.at("problem").get<std::string>();
  return device;
}

}  // namespace

ProbedDevice ProbeCpu(int threads) {
  const std::unique_ptr<Ops> ops = NewCpuOps(threads);
  ProbedDevice device{"cpu0", "cpu", ops->NumericsClass(), CpuFeatures()};
  if (const Status status = SelfTestCpu(ops.get()); !status.ok()) device.problem = MessageOf(status);
  return device;
}

int ProbeChildMain(int threads) { return WriteProbe({ProbeCpu(threads)}); }

int WriteProbe(const std::vector<ProbedDevice>& devices) {
  const std::string line = EncodeProbe(devices) + "\n";
  for (size_t at = 0; at < line.size();) {
    const ssize_t put = write(kSocket, line.data() + at, line.size() - at);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return 1;
    at += static_cast<size_t>(put);
  }
  return 0;
}

std::string EncodeProbe(const std::vector<ProbedDevice>& devices) {
  Json list = Json::array();
  for (const ProbedDevice& device : devices) {
    list.push_back({{"id", device.id},
                    {"kind", device.kind},
                    {"numerics_class", device.numerics_class},
                    {"features", device.features},
                    {"total_bytes", device.total_bytes},
                    {"free_bytes", device.free_bytes},
                    {"problem", device.problem}});
  }
  return Json{{"devices", list}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

StatusOr<std::vector<ProbedDevice>> DecodeProbe(const std::string& line) {
  SWAGE_ASSIGN_OR_RETURN(const Json json, ParseJsonTree(line, "PROBE_PROTOCOL", "the devices' probe"));
  try {
    std::vector<ProbedDevice> devices;
    for (const Json& device : json.at("devices")) {
      if (devices.size() >= limits::kWorkerDevices) {
        return InvalidInput("PROBE_PROTOCOL", Cat("the probe tells of more than ", limits::kWorkerDevices, " devices"));
      }
      devices.push_back(DeviceOf(device));
    }
    return devices;
  } catch (const Json::exception& e) {
    return InvalidInput("PROBE_PROTOCOL", Cat("the devices' probe: ", e.what()));
  }
}

}  // namespace swage
