#include "clients/cli/admin_view.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/text.h"
#include "clients/cli/console.h"

namespace swage {
namespace {

constexpr size_t kClassesInTop = 5;
constexpr double kMostBytes = 9.0e18;

std::string Format(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

std::string PercentText(double fraction) { return Format("%.1f %%", fraction * 100); }
std::string Seconds(double seconds) {
  if (seconds <= 0) return "-";
  return seconds < 1e-3 ? Format("%.0f us", seconds * 1e6) : HumanSeconds(seconds);
}
std::string Bytes(double bytes) { return HumanBytes(bytes); }
std::string Limit(double value, const std::string& text) { return value == 0 ? "-" : text; }

std::string StateOf(const WorkerEntry& worker) {
  return !worker.connected ? "lost" : worker.draining ? "draining" : "ready";
}

std::string SlotsOf(const WorkerEntry& worker) {
  return worker.connected ? Cat(worker.slot_count - worker.free_slots, "/", worker.slot_count) : "-";
}

std::string DeviceText(const DeviceEntry& device, bool connected) {
  std::string text = Cat(device.id, " ");
  if (connected) text += Cat(Bytes(static_cast<double>(device.free_bytes)), " free of ");
  text += Bytes(static_cast<double>(device.total_bytes));
  if (!device.problem.empty()) text += Cat(" [", device.problem, "]");
  return text;
}

std::string DevicesOf(const WorkerEntry& worker) {
  std::vector<std::string> texts;
  for (const DeviceEntry& device : worker.devices) texts.push_back(DeviceText(device, worker.connected));
  return Printable(Join(texts, ", "));
}

std::string JobOf(const WorkerJobEntry& job) {
  std::string text = Cat(job.job, "  ", job.stage.empty() ? job.state : job.stage, "  ",
                         static_cast<int>(job.fraction * 100), " %");
  if (job.eta_seconds >= 0) text += Cat("  ", HumanSeconds(job.eta_seconds), " left");
  if (job.tenant != "default") text += Cat("  (", job.tenant, ")");
  return Printable(text);
}

// A class's name is methods|host bytes|kind|devices|bytes|features|gang; numbers alone would tell a person little.
std::string ShapeText(const std::string& shape) {
  const std::vector<std::string> parts = Split(shape, '|');
  if (parts.size() != 7) return Printable(shape);
  std::string text = Cat(parts[0].empty() ? "any" : parts[0], ", ", Bytes(std::strtod(parts[1].c_str(), nullptr)));
  if (!parts[2].empty()) text += Cat(", ", parts[3], " ", parts[2]);
  if (!parts[2].empty() && parts[4] != "0") text += Cat(" of ", Bytes(std::strtod(parts[4].c_str(), nullptr)));
  if (!parts[5].empty()) text += Cat(", ", parts[5]);
  if (parts[6] != "1" && parts[6] != "0" && !parts[6].empty()) text += Cat(", gang of ", parts[6]);
  return Printable(text);
}

TextTable ClassTable(const std::vector<ClassEntry>& classes, size_t most) {
  TextTable table({{"JOBS", Align::kRight}, {"TENANT"}, {"NEEDS"}, {"OLDEST"}, {"WAITS FOR"}});
  for (size_t i = 0; i < std::min(most, classes.size()); ++i) {
    const ClassEntry& c = classes[i];
    table.AddRow({Cat(c.jobs), c.tenant, ShapeText(c.shape), c.oldest, Printable(c.pending_reason)});
  }
  return table;
}

// Cuts at `columns` code points and `rows` lines.
std::string Clip(const std::string& text, int rows, int columns) {
  std::string out;
  int row = 0;
  for (const std::string& line : Split(text, '\n')) {
    if (rows > 0 && ++row > rows) break;
    size_t end = 0;
    int width = 0;
    for (; end < line.size(); ++end) {
      const bool begins = (static_cast<unsigned char>(line[end]) & 0xc0) != 0x80;
      if (begins && columns > 0 && ++width > columns) break;
    }
    out += line.substr(0, end) + "\n";
  }
  if (EndsWith(out, "\n\n")) out.pop_back();  // what Split made of the last line's end
  return out;
}

}  // namespace

void QuotaChange::ApplyTo(TenantEntry* tenant) const {
  if (has_weight) tenant->weight = weight;
  if (has_max_running) tenant->max_running = max_running;
  if (has_max_memory) tenant->max_host_bytes = max_memory;
  if (has_max_device_memory) tenant->max_device_bytes = max_device_memory;
  if (has_max_queued) tenant->max_queued = max_queued;
}

StatusOr<uint64_t> ParseBytes(const std::string& text) {
  static const std::map<std::string, double> kUnits = {
      {"", 1},      {"b", 1},      {"k", 1e3},     {"kb", 1e3},  {"m", 1e6},           {"mb", 1e6},
      {"g", 1e9},   {"gb", 1e9},   {"t", 1e12},    {"tb", 1e12}, {"kib", 1024.0},      {"mib", 1048576.0},
      {"gib", 1073741824.0},       {"tib", 1099511627776.0}};
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  std::string unit(Trim(end));
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto factor = kUnits.find(unit);
  const bool digit = !text.empty() && text[0] >= '0' && text[0] <= '9' && text.find_first_of("xX") == std::string::npos;
  if (!digit || factor == kUnits.end() || !std::isfinite(number) || number * factor->second > kMostBytes) {
    return InvalidInput("BAD_SIZE", Cat("'", Printable(text), "' is not a number of bytes"),
                        "write 16GB (10^9), 1.5GiB (2^30), 512MiB or plain bytes");
  }
  return static_cast<uint64_t>(std::llround(number * factor->second));
}

std::string WorkersText(const std::vector<WorkerEntry>& workers) {
  if (workers.empty()) return "no workers\n";
  TextTable table({{"WORKER"}, {"STATE"}, {"SLOTS", Align::kRight}, {"DEVICES"}, {"JOBS"}, {"FEATURES"}, {"LAST SEEN"}});
  for (const WorkerEntry& worker : workers) {
    std::vector<std::string> jobs;
    for (const WorkerJobEntry& job : worker.jobs) jobs.push_back(job.job);
    table.AddRow({Printable(worker.worker_id), StateOf(worker), SlotsOf(worker), DevicesOf(worker), Join(jobs, ", "),
                  Printable(Join(worker.features, " ")), LocalTime(worker.last_seen_unix_nanos)});
  }
  return table.ToString();
}

std::string QueueText(const QueueView& queue) {
  if (queue.classes.empty() && queue.jobs.empty()) return "no job waits\n";
  std::string out = Cat(queue.waiting, queue.waiting == 1 ? " job could" : " jobs could", " run now if there were room\n");
  if (!queue.classes.empty()) out += ClassTable(queue.classes, queue.classes.size()).ToString();
  if (queue.jobs.empty()) return out;
  TextTable table({{"JOB"}, {"TENANT"}, {"PRIORITY", Align::kRight}, {"SINCE"}, {"WAITS FOR"}});
  for (const QueuedEntry& job : queue.jobs) {
    table.AddRow({job.job, job.tenant, Cat(job.priority), LocalTime(job.queued_unix_nanos),
                  Printable(job.pending_reason)});
  }
  return Cat(out, "\n", table.ToString());
}

std::string ExplanationText(const ExplanationView& explanation) {
  std::string out = Cat(explanation.job, "  ", explanation.state, "\n");
  if (!explanation.summary.empty()) out += Cat("  ", Printable(explanation.summary), "\n");
  for (const std::string& fact : explanation.facts) out += Cat("  - ", Printable(fact), "\n");
  if (explanation.workers.empty()) return out;
  TextTable table({{"  WORKER"}, {"SAYS"}});
  for (const auto& [worker, verdict] : explanation.workers) {
    table.AddRow({Cat("  ", Printable(worker)), Printable(verdict)});
  }
  return out + table.ToString();
}

std::string TenantsText(const std::vector<TenantEntry>& tenants) {
  if (tenants.empty()) return "no tenants\n";
  TextTable table({{"TENANT"}, {"WEIGHT", Align::kRight}, {"SHARE", Align::kRight}, {"ENTITLED", Align::kRight},
                   {"RUNNING", Align::kRight}, {"WAITING", Align::kRight}, {"MEMORY", Align::kRight},
                   {"MAX RUNNING", Align::kRight}, {"MAX MEMORY", Align::kRight}, {"MAX DEVICE MEMORY", Align::kRight},
                   {"MAX QUEUED", Align::kRight}});
  for (const TenantEntry& t : tenants) {
    table.AddRow({t.tenant, Format("%g", t.weight), PercentText(t.share), PercentText(t.entitlement), Cat(t.running),
                  Cat(t.waiting), Bytes(t.host_bytes), Limit(t.max_running, Cat(t.max_running)),
                  Limit(static_cast<double>(t.max_host_bytes), Bytes(static_cast<double>(t.max_host_bytes))),
                  Limit(static_cast<double>(t.max_device_bytes), Bytes(static_cast<double>(t.max_device_bytes))),
                  Limit(t.max_queued, Cat(t.max_queued))});
  }
  return table.ToString();
}

std::string TopText(const TopView& top, int64_t unix_nanos, int rows, int columns) {
  const StatsView& s = top.stats;
  std::string out = Cat("swage  ", LocalTime(unix_nanos), "  leader ", s.incarnation, "  workers ", s.workers,
                        "  running ", s.running, "  waiting ", s.waiting, "\n");
  out += Cat("passes ", s.passes, "  last ", Seconds(s.last_pass_seconds), "  longest ", Seconds(s.longest_pass_seconds),
             "  assigned ", s.assigned, "  wait p50 ", Seconds(s.wait_p50_seconds), " p99 ",
             Seconds(s.wait_p99_seconds), "  preempted ", s.evictions, "\n\n");
  TextTable workers({{"WORKER"}, {"STATE"}, {"SLOTS", Align::kRight}, {"DEVICES / JOBS"}});
  for (const WorkerEntry& worker : top.workers) {
    workers.AddRow({Printable(worker.worker_id), StateOf(worker), SlotsOf(worker), DevicesOf(worker)});
    for (const WorkerJobEntry& job : worker.jobs) workers.AddRow({"", "", "", JobOf(job)});
  }
  out += top.workers.empty() ? "no workers\n" : workers.ToString();
  if (!top.tenants.empty()) {
    TextTable tenants({{"TENANT"}, {"WEIGHT", Align::kRight}, {"SHARE", Align::kRight}, {"ENTITLED", Align::kRight},
                       {"RUNNING", Align::kRight}, {"WAITING", Align::kRight}, {"MEMORY", Align::kRight}});
    for (const TenantEntry& t : top.tenants) {
      tenants.AddRow({t.tenant, Format("%g", t.weight), PercentText(t.share), PercentText(t.entitlement), Cat(t.running),
                      Cat(t.waiting), Bytes(t.host_bytes)});
    }
    out += "\n" + tenants.ToString();
  }
  if (!top.queue.classes.empty()) out += "\n" + ClassTable(top.queue.classes, kClassesInTop).ToString();
  if (top.queue.classes.size() > kClassesInTop) {
    out += Cat("... and ", top.queue.classes.size() - kClassesInTop, " more classes; 'swage queue' lists them\n");
  }
  return rows > 0 || columns > 0 ? Clip(out, rows, columns) : out;
}

}  // namespace swage
