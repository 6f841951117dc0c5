// What the platform costs around the computing, each figure beside its plain counterpart in the same run:
// upload and download of a model beside `cp -r` of the same folder (into the same disk, synced), time from `swage up`
// to ready, resident memory of each idle daemon.
//
//   swage-bench-platform --bin build/ci/bin [--megabytes 400] [--runs 5]
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/env.h"
#include "tests/chaos/platform.h"
#include "tests/tools/make_model.h"

namespace swage {
namespace {

using chaos::Platform;
using chaos::PlatformOptions;
using chaos::Process;
using chaos::Target;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Series {
  std::vector<double> values;
  double Median() {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }
  double Min() const { return *std::min_element(values.begin(), values.end()); }
  double Max() const { return *std::max_element(values.begin(), values.end()); }
};

void Row(const char* name, Series& series, double bytes) {
  std::printf("%-34s %8.3f s  (%.3f - %.3f)  %6.2f GB/s\n", name, series.Median(), series.Min(), series.Max(),
              bytes / series.Median() / 1e9);
}

double ResidentMegabytes(pid_t pid) {
  std::ifstream status(Cat("/proc/", pid, "/status"));
  std::string line;
  while (std::getline(status, line)) {
    if (StartsWith(line, "VmRSS:")) return std::atof(line.c_str() + 6) / 1024;
  }
  return 0;
}

Status TimeCopy(const std::string& from, const std::string& to, Series* series) {
  const double start = Now();
  SWAGE_ASSIGN_OR_RETURN(const auto done, chaos::Run({"/bin/sh", "-c", Cat("cp -r ", from, " ", to, " && sync ", to, "/*")}, ""));
  if (done.exit_code != 0) return Internal("cp failed");
  series->values.push_back(Now() - start);
  return Env::Posix()->RemoveTree(to);
}

// A new platform each run, so that nothing is there already.
Status TimeTransfers(const std::string& bin, const std::string& model, const std::string& root, int runs, double bytes) {
  Series copy, upload, upload_again, download;
  for (int i = 0; i < runs; ++i) {
    const std::string data = JoinPath(root, Cat("data", i));
    SWAGE_RETURN_IF_ERROR(Env::Posix()->CreateDirs(data, 0700));
    SWAGE_RETURN_IF_ERROR(TimeCopy(model, JoinPath(root, "copy"), &copy));
    SWAGE_ASSIGN_OR_RETURN(auto platform, Platform::StartEmbedded({bin, data, 10000, ""}));
    double start = Now();
    SWAGE_RETURN_IF_ERROR(platform->Cli({"upload", model, "--as", "models/bench"}).status());
    upload.values.push_back(Now() - start);
    start = Now();
    SWAGE_RETURN_IF_ERROR(platform->Cli({"upload", model, "--as", "models/bench2"}).status());
    upload_again.values.push_back(Now() - start);
    start = Now();
    SWAGE_RETURN_IF_ERROR(platform->Cli({"download", "models/bench", JoinPath(root, "down")}).status());
    download.values.push_back(Now() - start);
    SWAGE_RETURN_IF_ERROR(platform->StopAll());
    SWAGE_RETURN_IF_ERROR(Env::Posix()->RemoveTree(JoinPath(root, "down")));
    SWAGE_RETURN_IF_ERROR(Env::Posix()->RemoveTree(data));
  }
  Row("cp -r and sync", copy, bytes);
  Row("swage upload", upload, bytes);
  Row("swage upload, all of it known", upload_again, bytes);
  Row("swage download", download, bytes);
  return absl::OkStatus();
}

Status TimeReady(const std::string& bin, const std::string& root, int runs) {
  Series ready;
  for (int i = 0; i < runs; ++i) {
    const std::string data = JoinPath(root, Cat("ready", i));
    std::atomic<double> at = 0;
    const double start = Now();
    SWAGE_ASSIGN_OR_RETURN(auto up, Process::Spawn({JoinPath(bin, "swage"), "up", "--data", data}, {}, "",
                                                   [&](const std::string&) { if (at == 0) at = Now(); }));
    while (up->Running() && !Env::Posix()->Exists(JoinPath(data, "run/address"))) {
    }
    const double address = Now();
    up->Signal(SIGTERM);
    up->Wait();
    ready.values.push_back((at.load() != 0 ? at.load() : address) - start);
  }
  std::printf("%-34s %8.0f ms (%.0f - %.0f)\n", "swage up to its ready line", ready.Median() * 1e3, ready.Min() * 1e3,
              ready.Max() * 1e3);
  return absl::OkStatus();
}

Status MeasureIdle(const std::string& bin, const std::string& root) {
  for (const bool split : {false, true}) {
    const std::string data = JoinPath(root, split ? "idle-split" : "idle-up");
    SWAGE_RETURN_IF_ERROR(Env::Posix()->CreateDirs(data, 0700));
    const PlatformOptions options{bin, data, 10000, ""};
    SWAGE_ASSIGN_OR_RETURN(auto platform, split ? Platform::StartSplit(options) : Platform::StartEmbedded(options));
    for (const auto& [name, pid] : platform->Pids()) {
      std::printf("idle resident memory of %-10s %7.1f MB\n", name.c_str(), ResidentMegabytes(pid));
    }
    SWAGE_RETURN_IF_ERROR(platform->StopAll());
  }
  return absl::OkStatus();
}

Status Main(const std::string& bin, int64_t megabytes, int runs) {
  TempDir dir("swage-bench");
  MakeModelOptions shape;
  shape.layers = std::max<int64_t>(1, megabytes * 1000000 / 2 / (14900000));
  const std::string model = JoinPath(dir.path(), "model");
  SWAGE_RETURN_IF_ERROR(MakeModel(model, shape));
  double bytes = 0;
  SWAGE_ASSIGN_OR_RETURN(const auto entries, Env::Posix()->ListDir(model));
  for (const DirEntry& entry : entries) bytes += static_cast<double>(entry.size);
  std::printf("model of %.0f MB, %lld tensors, %d runs: median (min - max)\n", bytes / 1e6,
              static_cast<long long>(2 + 9 * shape.layers), runs);
  SWAGE_RETURN_IF_ERROR(TimeTransfers(bin, model, dir.path(), runs, bytes));
  SWAGE_RETURN_IF_ERROR(TimeReady(bin, dir.path(), runs));
  return MeasureIdle(bin, dir.path());
}

}  // namespace
}  // namespace swage

int main(int argc, char** argv) {
  std::string bin;
  int64_t megabytes = 400;
  int runs = 5;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--bin") bin = argv[i + 1];
    if (name == "--megabytes") megabytes = std::atoll(argv[i + 1]);
    if (name == "--runs") runs = std::max(1, std::atoi(argv[i + 1]));
  }
  if (bin.empty()) {
    std::fprintf(stderr, "usage: swage-bench-platform --bin DIR [--megabytes 400] [--runs 5]\n");
    return 2;
  }
  const swage::Status status = swage::Main(bin, megabytes, runs);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", swage::MessageOf(status).c_str());
  return status.ok() ? 0 : 1;
}
