// One history: clients, schedulers, workers and stores under faults (safety), then without
// (everything must end).
#pragma once

#include <cstdint>
#include <deque>
#include <string>

namespace swage::sim {

struct SimOptions {
  uint64_t seed = 1;
  double hours = 0.1;  // of simulated time with faults
  bool traced = false;
};

struct SimResult {
  std::string violation;  // "" = all invariants held
  uint64_t jobs = 0, faults = 0, steps = 0, succeeded = 0;
  double simulated_hours = 0;
  std::deque<std::string> trace;  // the last lines before the violation, when traced
};

SimResult Simulate(const SimOptions& options);

}  // namespace swage::sim
