// swage-sim --seeds FROM:TO [--hours H]: simulates each seed; exits 1 with the first failing seed
// and its trace.
#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "tests/sim/simulation.h"

namespace {

struct Arguments {
  uint64_t from = 1, to = 1;
  double hours = 0.1;
};

template <typename T>
bool Number(std::string_view text, T* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

bool Parse(int argc, char** argv, Arguments* args) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i], value = argv[i + 1];
    const size_t colon = value.find(':');
    if (name == "--seeds" && colon != value.npos) {
      if (!Number(value.substr(0, colon), &args->from) ||
          !Number(value.substr(colon + 1), &args->to))
        return false;
    } else if (name == "--hours") {
      if (!Number(value, &args->hours) || args->hours <= 0) return false;
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

int Explain(swage::sim::SimOptions options) {
  options.traced = true;  // the same history again, written down
  const auto result = swage::sim::Simulate(options);
  for (const std::string& line : result.trace) std::printf("%s\n", line.c_str());
  std::printf("seed %lu FAILED: %s\n", static_cast<unsigned long>(options.seed),
              result.violation.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments args;
  if (!Parse(argc, argv, &args)) {
    std::fprintf(stderr, "usage: swage-sim --seeds FROM:TO [--hours H]   (TO included)\n");
    return 2;
  }
  swage::SetLogLevel(swage::LogLevel::kError);
  swage::sim::SimResult sum;
  const int64_t start = swage::Clock::Real()->MonotonicNanos();
  for (uint64_t seed = args.from; seed <= args.to; ++seed) {
    const swage::sim::SimOptions options{seed, args.hours, false};
    const auto result = swage::sim::Simulate(options);
    if (!result.violation.empty()) return Explain(options);
    sum.jobs += result.jobs;
    sum.faults += result.faults;
    sum.steps += result.steps;
    sum.succeeded += result.succeeded;
    sum.simulated_hours += result.simulated_hours;
  }
  const double seconds = static_cast<double>(swage::Clock::Real()->MonotonicNanos() - start) / 1e9;
  std::printf(
      "seeds %lu to %lu: %lu jobs (%lu succeeded), %lu faults, %lu steps, %.1f simulated hours in "
      "%.1f s\n",
      static_cast<unsigned long>(args.from), static_cast<unsigned long>(args.to),
      static_cast<unsigned long>(sum.jobs), static_cast<unsigned long>(sum.succeeded),
      static_cast<unsigned long>(sum.faults), static_cast<unsigned long>(sum.steps),
      sum.simulated_hours, seconds);
  return 0;
}
