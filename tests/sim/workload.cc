#include "tests/sim/workload.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string_view>

namespace swage::sim {
namespace {

constexpr std::string_view kSpecMark = "\"sim\":";

JobSpec DrawJob(Rng* rng) {
  const auto& tenants = Tenants();
  JobSpec spec;
  spec.tenant = tenants[rng->Uniform(tenants.size())].name;
  spec.priority = static_cast<int>(Between(rng, -1, 1));
  spec.preemptible = Chance(rng, 0.9);
  spec.shape.methods = {"rtn"};
  if (Chance(rng, 0.1)) spec.shape.methods = {"gptq", "rtn"};
  spec.shape.host_bytes = static_cast<uint64_t>(Between(rng, 1, 6)) * kGb;
  // Most are short, some outlast many leases.
  spec.run_nanos = Chance(rng, 0.1) ? Between(rng, kMinute, 5 * kMinute)
                                    : Between(rng, kSecond, 20 * kSecond);
  spec.steps = static_cast<int>(Between(rng, 2, 5));
  static constexpr const char* kReasons[] = {"CHILD_CRASHED", "INPUT_CORRUPT", "NEVER_HEARD_OF",
                                             "OOM_PREDICTION"};
  if (Chance(rng, 0.03)) spec.fails = kReasons[Between(rng, 0, 3)];
  if (Chance(rng, 0.05)) spec.submits = 2;
  return spec;
}

// Some need devices, some several workers at once.
void DrawShape(Rng* rng, JobSpec* spec) {
  ShapeRecord& shape = spec->shape;
  if (Chance(rng, 0.15)) {
    shape.host_bytes = kGb;
    shape.device_kind = "cuda";
    shape.devices = static_cast<int>(Between(rng, 1, 2));
    shape.device_bytes = static_cast<uint64_t>(Between(rng, 4, 20)) * kGb;
    shape.features = {Chance(rng, 0.2) ? "sm_90" : "sm_80"};
  }
  if (Chance(rng, 0.06)) {
    shape.methods = {"rtn"};
    shape.host_bytes = static_cast<uint64_t>(Between(rng, 1, 3)) * kGb;
    if (!shape.features.empty()) shape.features = {"sm_80"};
    shape.gang = shape.devices > 0 ? 2 : static_cast<int>(Between(rng, 2, 3));
  }
}

// Some are steps behind others, or do what another does.
void DrawRelations(Rng* rng, int job, Workload* workload) {
  JobSpec& spec = workload->jobs[static_cast<size_t>(job)];
  if (job > 0 && Chance(rng, 0.08)) {
    const int before = static_cast<int>(Between(rng, std::max(0, job - 10), job - 1));
    spec.tenant = workload->jobs[static_cast<size_t>(before)].tenant;
    if (Chance(rng, 0.5)) {
      spec.model_of = before;
    } else {
      spec.after = {before};
    }
  } else if (job > 0 && Chance(rng, 0.06)) {
    const int twin = static_cast<int>(Between(rng, std::max(0, job - 6), job - 1));
    JobSpec& other = workload->jobs[static_cast<size_t>(twin)];
    if (other.action.empty()) other.action = Cat("action", twin);
    const int submits = spec.submits;
    spec = other;
    spec.submits = submits;
  }
}

}  // namespace

const std::vector<TenantShape>& Tenants() {
  static const std::vector<TenantShape> tenants = {
      {"t0", 1, 0}, {"t1", 2, 0}, {"t2", 4, 0}, {"t3", 1, 3}};
  return tenants;
}

JobSpec SmallJob(const std::string& tenant, uint64_t host_bytes, int64_t run_nanos) {
  JobSpec spec;
  spec.tenant = tenant;
  spec.shape.methods = {"rtn"};
  spec.shape.host_bytes = host_bytes;
  spec.run_nanos = run_nanos;
  return spec;
}

Workload DrawWorkload(const World& world, double hours, double jobs_per_hour) {
  Rng rng = world.Stream("workload");
  Workload workload;
  const auto end = static_cast<int64_t>(hours * static_cast<double>(kHour));
  for (int64_t at = NextOf(&rng, jobs_per_hour); at < end; at += NextOf(&rng, jobs_per_hour)) {
    const int job = static_cast<int>(workload.jobs.size());
    workload.jobs.push_back(DrawJob(&rng));
    DrawShape(&rng, &workload.jobs.back());
    DrawRelations(&rng, job, &workload);
    workload.acts.push_back({at, "submit", job});
    if (!Chance(&rng, 0.25)) continue;
    // Somebody changes their mind about one of the last jobs.
    static constexpr const char* kKinds[] = {"cancel", "cancel", "pause",
                                             "resume", "retry",  "delete"};
    const auto back = static_cast<int>(rng.Uniform(30));
    const char* kind = kKinds[Between(&rng, 0, 5)];
    workload.acts.push_back({at + Between(&rng, 0, 30 * kSecond), kind, std::max(0, job - back)});
  }
  std::stable_sort(workload.acts.begin(), workload.acts.end(),
                   [](const ClientAct& a, const ClientAct& b) { return a.at < b.at; });
  return workload;
}

std::string ToText(const ClientAct& act, const JobSpec& spec) {
  std::string text = Cat(act.at / kMillisecond, " ms  ", act.kind, " job ", act.job);
  if (act.kind != "submit") return text;
  const ShapeRecord& shape = spec.shape;
  text += Cat(" of ", spec.tenant, " (", shape.host_bytes / kGb, " GB, ",
              spec.run_nanos / kSecond, " s, priority ", spec.priority);
  if (shape.devices > 0)
    text += Cat(", ", shape.devices, " devices of ", shape.device_bytes / kGb, " GB");
  if (shape.gang > 1) text += Cat(", gang of ", shape.gang);
  if (!spec.preemptible) text += ", not preemptible";
  if (!spec.after.empty()) text += Cat(", after job ", spec.after[0]);
  if (spec.model_of >= 0) text += Cat(", of the result of job ", spec.model_of);
  if (!spec.action.empty()) text += Cat(", ", spec.action);
  if (!spec.fails.empty()) text += Cat(", fails with ", spec.fails);
  if (spec.submits > 1) text += ", twice at once";
  text += ')';
  return text;
}

std::string RecipeOf(int job) { return Cat("{", kSpecMark, job, "}"); }

int JobOfRecipe(const std::string& recipe_json) {
  int job = -1;
  const size_t at = recipe_json.find(kSpecMark);
  if (at == std::string::npos) return job;
  const char* begin = recipe_json.data() + at + kSpecMark.size();
  std::from_chars(begin, recipe_json.data() + recipe_json.size(), job);
  return job;
}

}  // namespace swage::sim
