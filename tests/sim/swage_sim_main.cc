// swage-sim --seeds FROM:TO: simulates each seed; exits 1 with the first failing seed, made small,
// and its trace. See arguments.cc for the options.
#include <cstdio>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "tests/sim/arguments.h"
#include "tests/sim/minimize.h"
#include "tests/sim/output.h"
#include "tests/sim/simulation.h"

int main(int argc, char** argv) {
  using namespace swage::sim;
  const auto args = ParseArguments(argc, argv);
  if (!args.ok() || args->help) {
    const std::string text =
        args.ok() ? HelpText() : swage::Cat(swage::MessageOf(args.status()), "\n");
    std::fputs(text.c_str(), args.ok() ? stdout : stderr);
    return args.ok() ? 0 : 2;
  }
  swage::SetLogLevel(swage::LogLevel::kError);
  constexpr int64_t kMinimizeNanos = kMinute;
  const int64_t start = swage::Clock::Real()->MonotonicNanos();
  Totals totals;
  for (uint64_t seed = args->from; seed <= args->to; ++seed) {
    SimOptions options = args->options;
    options.seed = seed;
    const SimResult result = Simulate(options);
    if (!result.violation.empty()) {
      const Minimized small = Minimize(options, result, args->minimize ? kMinimizeNanos : 0);
      PrintFailure(small, result, args->json);
      return 1;
    }
    totals.Add(result);
  }
  totals.real_nanos = swage::Clock::Real()->MonotonicNanos() - start;
  PrintTotals(*args, totals, args->json);
  return 0;
}
