#include "tests/sim/output.h"

#include <algorithm>
#include <cstdio>
#include <string>

#include "nlohmann/json.hpp"

namespace swage::sim {
namespace {

double Hours(int64_t nanos) { return static_cast<double>(nanos) / static_cast<double>(kHour); }
double Seconds(int64_t nanos) { return static_cast<double>(nanos) / 1e9; }
void Print(const std::string& text) { std::fputs(text.c_str(), stdout); }

std::string Fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace

void Totals::Add(const SimResult& result) {
  sum.jobs += result.jobs;
  sum.faults += result.faults;
  sum.disturbed_messages += result.disturbed_messages;
  sum.steps += result.steps;
  sum.succeeded += result.succeeded;
  sum.failed += result.failed;
  sum.cancelled += result.cancelled;
  sum.lost_writes += result.lost_writes;
  sum.vanished += result.vanished;
  sum.preemptions += result.preemptions;
  sum.gangs += result.gangs;
  sum.shared += result.shared;
  sum.nanos += result.nanos;
  longest_quiet_nanos = std::max(longest_quiet_nanos, result.quiet_nanos);
}

void PrintTotals(const Arguments& args, const Totals& totals, bool json) {
  const SimResult& sum = totals.sum;
  const double minutes = Seconds(totals.real_nanos) / 60;
  if (json) {
    const nlohmann::json out = {{"first_seed", args.from},
                                {"last_seed", args.to},
                                {"jobs", sum.jobs},
                                {"succeeded", sum.succeeded},
                                {"failed", sum.failed},
                                {"cancelled", sum.cancelled},
                                {"faults", sum.faults},
                                {"disturbed_messages", sum.disturbed_messages},
                                {"lost_writes", sum.lost_writes},
                                {"vanished_jobs", sum.vanished},
                                {"gangs", sum.gangs},
                                {"preemptions", sum.preemptions},
                                {"shared_results", sum.shared},
                                {"steps", sum.steps},
                                {"simulated_hours", Hours(sum.nanos)},
                                {"longest_liveness_phase_seconds", Seconds(totals.longest_quiet_nanos)},
                                {"real_seconds", Seconds(totals.real_nanos)},
                                {"violation", nullptr}};
    return Print(out.dump(2) + "\n");
  }
  Print(Cat("seeds ", args.from, " to ", args.to, ": all invariants held\n"));
  Print(Cat("  jobs      ", sum.jobs, " accepted: ", sum.succeeded, " succeeded, ", sum.failed,
            " failed, ", sum.cancelled, " cancelled at the end; ", sum.vanished,
            " vanished with what failovers lost\n"));
  Print(Cat("  also      ", sum.gangs, " gangs started, ", sum.preemptions, " preemptions, ",
            sum.shared, " results shared with an equal job\n"));
  Print(Cat("  faults    ", sum.faults, ", and ", sum.disturbed_messages,
            " messages lost, doubled or held up; ", sum.lost_writes,
            " acknowledged writes lost by failovers\n"));
  Print(Cat("  time      ", Fixed(Hours(sum.nanos), 1), " simulated hours, ", sum.steps,
            " steps in ", Fixed(Seconds(totals.real_nanos), 1), " s: ",
            Fixed(Hours(sum.nanos) / minutes, 0), " hours a minute; the longest liveness phase was ",
            Fixed(Seconds(totals.longest_quiet_nanos), 0), " s\n"));
}

void PrintReplay(const SimResult& result, bool json) {
  if (json) {
    const nlohmann::json out = {
        {"jobs", result.ends}, {"simulated_hours", Hours(result.nanos)}, {"violation", result.violation.what}};
    return Print(out.dump(2) + "\n");
  }
  for (const auto& [key, end] : result.ends) Print(Cat(key, ": ", end, "\n"));
  Print(Cat(result.succeeded, " jobs succeeded, ", result.failed, " failed, after ",
            Fixed(Hours(result.nanos), 2), " simulated hours\n"));
  if (!result.violation.empty())
    Print(Cat("FAILED: ", result.violation.rule, ": ", result.violation.what, "\n"));
}

void PrintFailure(const Minimized& small, const SimResult& first, bool json) {
  const SimResult& result = small.result;
  if (json) {
    nlohmann::json out = {{"seed", small.options.seed},
                          {"violation", {{"rule", result.violation.rule}, {"what", result.violation.what}}},
                          {"first_violation", first.violation.what},
                          {"runs_to_minimize", small.runs},
                          {"faults", nlohmann::json::array()},
                          {"calls", nlohmann::json::array()},
                          {"trace", result.trace}};
    for (const Fault& fault : result.injected) out["faults"].push_back(ToText(fault));
    for (const ClientAct& act : result.acts) {
      out["calls"].push_back(ToText(act, result.workload.jobs[static_cast<size_t>(act.job)]));
    }
    return Print(out.dump(2) + "\n");
  }
  Print("the last lines of the history:\n");
  for (const std::string& line : result.trace) Print(Cat("  ", line, "\n"));
  Print(Cat("\nfaults (", result.injected.size(), " of ", first.injected.size(), "):\n"));
  for (const Fault& fault : result.injected) Print(Cat("  ", ToText(fault), "\n"));
  Print(Cat("client calls (", result.acts.size(), " of ", first.acts.size(), "):\n"));
  constexpr size_t kCalls = 40;
  for (size_t i = 0; i < std::min(kCalls, result.acts.size()); ++i) {
    const ClientAct& act = result.acts[i];
    Print(Cat("  ", ToText(act, result.workload.jobs[static_cast<size_t>(act.job)]), "\n"));
  }
  Print(Cat("\nseed ", small.options.seed, " FAILED: ", result.violation.rule, ": ",
            result.violation.what, "\n"));
}

}  // namespace swage::sim
