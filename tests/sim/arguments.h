// What swage-sim is asked for on its command line.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "tests/sim/simulation.h"

namespace swage::sim {

struct Arguments {
  uint64_t from = 1, to = 1;
  SimOptions options;
  std::string replay;  // a snapshot's file; "" = none
  bool minimize = true, json = false, help = false;
};

StatusOr<Arguments> ParseArguments(int argc, const char* const* argv);
const char* HelpText();

}  // namespace swage::sim
