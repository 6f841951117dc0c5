// What the state store carries: durable Apply calls by many threads (two writes of 1 KB, one new
// and one changed, and one event each), by one thread, a scan of 100,000 records in pages, and how
// soon an event wakes another process's wait. SQLite and Redis beside the plain fdatasync of the
// same disk.
//
//   swage-bench-state [--seconds 5] [--threads 32] [--dir /var/tmp] [--only sqlite|redis]
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/env.h"
#include "base/text.h"
#include "scheduler/state/state_store.h"
#include "tests/conformance/redis_server.h"

namespace swage {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  double seconds = 5;
  int threads = 32;
  std::string dir = "/var/tmp", only;
};

double Seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

double OwnCpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + 1e-6 * t.tv_usec; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double CpuSecondsOf(pid_t pid) {
  std::ifstream stat(Cat("/proc/", pid, "/stat"));
  std::string field;
  double ticks = 0;
  for (int i = 1; i <= 15 && stat >> field; ++i) {
    if (i >= 14) ticks += std::atof(field.c_str());  // user, system
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double Percentile(std::vector<double>* values, double p) {
  std::sort(values->begin(), values->end());
  return values->empty() ? 0 : (*values)[static_cast<size_t>(p * (values->size() - 1))];
}

struct Load {
  std::vector<double> millis;
  int failed = 0;
};

// One thread's transactions until the time is up.
void Write(StateStore* store, int run, int thread, const std::atomic<bool>* stop, Load* load) {
  const std::string value(1024, 'v');
  for (uint64_t i = 0; !*stop; ++i) {
    Transaction t;
    t.writes.push_back({Cat("t/job/", run, "-", thread, "-", i), 0, value});
    t.writes.push_back({Cat("t/worker/", run, "-", thread), i, value});
    t.events.push_back({Cat("t/job/", run, "-", thread), "{\"kind\":\"state\"}"});
    const auto start = Clock::now();
    if (store->Apply(t) != ApplyResult::kOk) ++load->failed;
    load->millis.push_back(1e3 * Seconds(Clock::now() - start));
  }
}

void BenchApply(StateStore* store, int run, int threads, const Flags& flags, pid_t server) {
  std::vector<Load> loads(static_cast<size_t>(threads));
  std::vector<std::thread> pool;
  std::atomic<bool> stop = false;
  const double own = OwnCpuSeconds(), theirs = server > 0 ? CpuSecondsOf(server) : 0;
  const auto start = Clock::now();
  for (int i = 0; i < threads; ++i)
    pool.emplace_back(Write, store, run, i, &stop, &loads[static_cast<size_t>(i)]);
  std::this_thread::sleep_for(std::chrono::duration<double>(flags.seconds));
  stop = true;
  for (std::thread& thread : pool) thread.join();
  const double wall = Seconds(Clock::now() - start);
  std::vector<double> millis;
  int failed = 0;
  for (const Load& load : loads) {
    millis.insert(millis.end(), load.millis.begin(), load.millis.end());
    failed += load.failed;
  }
  const double n = static_cast<double>(millis.size());
  std::printf("  Apply, %2d threads: %8.0f /s   p50 %6.3f ms   p99 %6.3f ms   client %5.1f us CPU each",
              threads, n / wall, Percentile(&millis, 0.5), Percentile(&millis, 0.99),
              1e6 * (OwnCpuSeconds() - own) / n);
  if (server > 0)
    std::printf("   redis-server %5.1f us CPU each", 1e6 * (CpuSecondsOf(server) - theirs) / n);
  std::printf("%s\n", failed == 0 ? "" : Cat("   FAILED: ", failed).c_str());
}

void BenchScan(StateStore* store) {
  constexpr int kRecords = 100000, kBatch = 500;
  for (int i = 0; i < kRecords; i += kBatch) {
    Transaction t;
    for (int j = i; j < i + kBatch; ++j)
      t.writes.push_back({Cat("scan/job/", 1000000 + j), 0, std::string(1024, 's')});
    if (store->Apply(t) != ApplyResult::kOk) std::printf("  a write failed\n");
  }
  const auto start = Clock::now();
  std::string after;
  size_t found = 0;
  while (true) {
    const auto page = store->Scan("scan/", after, 1000);
    if (!page.ok()) std::printf("  %s\n", MessageOf(page.status()).c_str());
    if (!page.ok() || page->empty()) break;
    found += page->size();
    after = page->back().key;
  }
  std::printf("  scan of %zu records of 1 KB, pages of 1000: %.3f s\n", found,
              Seconds(Clock::now() - start));
}

// From before Apply at one handle to the end of another handle's wait.
void BenchWake(StateStore* writer, StateStore* waiter) {
  std::vector<double> millis;
  for (int i = 0; i < 200; ++i) {
    const uint64_t before = waiter->WaitForEvents(INT64_MAX, 0).value();
    Clock::time_point woken;
    std::thread thread([&] {
      if (waiter->WaitForEvents(before, 5000).ok()) woken = Clock::now();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    Transaction t;
    t.events.push_back({"requests", "wake"});
    const auto start = Clock::now();
    if (writer->Apply(t) != ApplyResult::kOk) std::printf("  a write failed\n");
    thread.join();
    millis.push_back(1e3 * Seconds(woken - start));
  }
  std::printf("  another handle's wait ends after:  p50 %.3f ms   p99 %.3f ms\n",
              Percentile(&millis, 0.5), Percentile(&millis, 0.99));
}

void BenchSync(const std::string& dir) {
  const std::string path = dir + "/plain";
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  std::vector<double> millis;
  const std::string block(4096, 'b');
  for (int i = 0; i < 500; ++i) {
    const auto start = Clock::now();
    if (write(fd, block.data(), block.size()) < 0 || fdatasync(fd) != 0) std::printf("  %s\n", strerror(errno));
    millis.push_back(1e3 * Seconds(Clock::now() - start));
  }
  close(fd);
  std::printf("plain: write of 4 KB and fdatasync: p50 %.3f ms, p99 %.3f ms\n",
              Percentile(&millis, 0.5), Percentile(&millis, 0.99));
}

void BenchAll(const std::string& name, const std::string& uri, const Flags& flags, pid_t server) {
  std::printf("%s\n", name.c_str());
  auto store = OpenStateStore(uri);
  auto other = OpenStateStore(uri);
  if (!store.ok() || !other.ok()) {
    std::printf("  %s\n", MessageOf(store.ok() ? other.status() : store.status()).c_str());
    return;
  }
  BenchApply(store->get(), 1, flags.threads, flags, server);
  BenchApply(store->get(), 2, 1, flags, server);
  BenchScan(store->get());
  BenchWake(store->get(), other->get());
}

int Main(const Flags& flags) {
  setenv("TMPDIR", flags.dir.c_str(), 1);
  const TempDir dir("bench-state");
  std::printf("%u cores, SQLite %s, files in %s; a transaction is two writes of 1 KB (one new, one "
              "changed) and one event; %.0f s each\n",
              std::thread::hardware_concurrency(), sqlite3_libversion(), flags.dir.c_str(),
              flags.seconds);
  BenchSync(dir.path());
  if (flags.only.empty() || flags.only == "sqlite")
    BenchAll("SQLite, WAL, synchronous=FULL", dir.path() + "/state.sqlite", flags, 0);
  if (!flags.only.empty() && flags.only != "redis") return 0;
  for (const char* sync : {"everysec", "always"}) {
    RedisServer server({{"--appendfsync", sync}});
    BenchAll(Cat("Redis over a unix socket, appendfsync ", sync), server.uri(Cat("durability=", sync)),
             flags, server.pid());
  }
  return 0;
}

}  // namespace
}  // namespace swage

int main(int argc, char** argv) {
  swage::Flags flags;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--seconds") flags.seconds = std::atof(argv[i + 1]);
    if (name == "--threads") flags.threads = std::atoi(argv[i + 1]);
    if (name == "--dir") flags.dir = argv[i + 1];
    if (name == "--only") flags.only = argv[i + 1];
  }
  return swage::Main(flags);
}
