// Makes a failing history small: leaves out faults and client calls as long as the same rule is
// still violated (delta debugging; Zeller and Hildebrandt, IEEE TSE 28(2), 2002).
#pragma once

#include <cstdint>

#include "tests/sim/simulation.h"

namespace swage::sim {

struct Minimized {
  SimOptions options;  // with the faults and calls that are left
  SimResult result;    // traced
  int runs = 0;
};

// `failed` is what `options` gave. Gives up making it smaller after `budget_nanos` of real time.
Minimized Minimize(const SimOptions& options, const SimResult& failed, int64_t budget_nanos);

}  // namespace swage::sim
