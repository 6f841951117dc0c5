// swage-sim --seeds FROM:TO: simulates each seed; exits 1 with the first failing seed, made small,
// and its trace. See arguments.cc for the options.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/env.h"
#include "base/log.h"
#include "base/text.h"
#include "tests/sim/arguments.h"
#include "tests/sim/minimize.h"
#include "tests/sim/output.h"
#include "tests/sim/simulation.h"

namespace {

constexpr uint64_t kMostBytes = 4ull << 30;  // of a snapshot

int Replay(const swage::sim::Arguments& args) {
  auto text = swage::ReadFile(swage::Env::Posix(), args.replay, kMostBytes);
  auto snapshot = text.ok() ? swage::sim::ParseSnapshot(*text) : text.status();
  if (!snapshot.ok()) {
    std::fputs(swage::Cat(swage::MessageOf(snapshot.status()), "\n").c_str(), stderr);
    return 2;
  }
  swage::sim::SimOptions options = args.options;
  options.profile = swage::sim::FaultProfile::kNone;
  options.hours = 1e-6;
  options.snapshot = std::make_shared<swage::sim::Snapshot>(*std::move(snapshot));
  const auto result = swage::sim::Simulate(options);
  swage::sim::PrintReplay(result, args.json);
  return result.violation.empty() ? 0 : 1;
}

}  // namespace

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
  if (!args->replay.empty()) return Replay(*args);
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
