// What clients ask for in one history: drawn up front from the seed, so that a history can be
// repeated with less of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/core/records.h"
#include "tests/sim/world.h"

namespace swage::sim {

inline constexpr uint64_t kGb = 1'000'000'000;

struct JobSpec {  // what is true of a job, wherever and however often it runs
  std::string tenant = "t0";
  int priority = 0;
  bool preemptible = true;
  ShapeRecord shape;
  int64_t run_nanos = 0;
  int steps = 1;
  std::string fails = {};       // every attempt ends with this reason; "": none does by itself
  int submits = 1;              // calls with one request_id that are under way at once
  std::vector<int> after = {};  // jobs that must have succeeded before
  int model_of = -1;            // the job whose result is its model
  std::string action = {};      // jobs of one action have one result
};

struct ClientAct {
  int64_t at = 0;    // since the start
  std::string kind;  // submit | cancel | pause | resume | retry | delete
  int job = 0;       // index of its JobSpec, which stays when other jobs are left out
};

struct Workload {
  std::vector<JobSpec> jobs;
  std::vector<ClientAct> acts;  // ordered by time
};

Workload DrawWorkload(const World& world, double hours, double jobs_per_hour);
std::string ToText(const ClientAct& act, const JobSpec& spec);

// A job of the method that every worker has, with so much of the host's memory.
JobSpec SmallJob(const std::string& tenant, uint64_t host_bytes, int64_t run_nanos);

// The recipe of a job names its spec, so that a worker knows what it computes.
std::string RecipeOf(int job);
int JobOfRecipe(const std::string& recipe_json);

// Tenants and their weights.
struct TenantShape {
  std::string name;
  double weight = 1;
  int max_running = 0;
};
const std::vector<TenantShape>& Tenants();

}  // namespace swage::sim
