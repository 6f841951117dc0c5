// What swage-sim prints, for people or as JSON.
#pragma once

#include "tests/sim/arguments.h"
#include "tests/sim/minimize.h"
#include "tests/sim/simulation.h"

namespace swage::sim {

struct Totals {
  SimResult sum;
  int64_t real_nanos = 0, longest_quiet_nanos = 0;
  void Add(const SimResult& result);
};

void PrintTotals(const Arguments& args, const Totals& totals, bool json);
void PrintReplay(const SimResult& result, bool json);
// `first` is the history as it was before it was made small.
void PrintFailure(const Minimized& small, const SimResult& first, bool json);

}  // namespace swage::sim
