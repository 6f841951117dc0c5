#include "tests/sim/minimize.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

namespace swage::sim {
namespace {

class Search {
 public:
  Search(SimOptions options, const SimResult& failed, int64_t budget_nanos)
      : options_(std::move(options)),
        rule_(failed.violation.rule),
        until_(Clock::Real()->MonotonicNanos() + budget_nanos) {}

  // The list without as much as can be left out, in chunks that get smaller.
  template <typename T>
  void Shrink(std::optional<std::vector<T>> SimOptions::*list) {
    size_t chunk = std::max<size_t>((options_.*list)->size() / 2, 1);
    while (!(options_.*list)->empty() && !OutOfTime()) {
      bool smaller = false;
      for (size_t at = 0; at < (options_.*list)->size() && !OutOfTime();) {
        std::vector<T> kept = *(options_.*list);
        const auto begin = kept.begin() + static_cast<std::ptrdiff_t>(at);
        const auto end = begin + static_cast<std::ptrdiff_t>(std::min(chunk, kept.size() - at));
        kept.erase(begin, end);
        SimOptions tried = options_;
        tried.*list = std::move(kept);
        if (StillFails(tried)) {
          options_ = std::move(tried);
          smaller = true;
        } else {
          at += chunk;
        }
      }
      if (chunk == 1 && !smaller) return;
      chunk = std::max<size_t>(chunk / 2, 1);
    }
  }

  // What comes after the violation has no part in it.
  void CutTail(int64_t at) {
    SimOptions tried = options_;
    std::erase_if(*tried.faults, [at](const Fault& f) { return f.at > at; });
    std::erase_if(*tried.acts, [at](const ClientAct& a) { return a.at > at; });
    if (StillFails(tried)) options_ = std::move(tried);
  }

  SimOptions& options() { return options_; }
  int runs() const { return runs_; }

 private:
  bool OutOfTime() const { return Clock::Real()->MonotonicNanos() > until_; }
  bool StillFails(const SimOptions& tried) {
    ++runs_;
    return Simulate(tried).violation.rule == rule_;
  }

  SimOptions options_;
  const std::string rule_;
  const int64_t until_;
  int runs_ = 0;
};

}  // namespace

Minimized Minimize(const SimOptions& options, const SimResult& failed, int64_t budget_nanos) {
  SimOptions all = options;
  all.traced = false;
  all.faults = failed.injected;
  all.acts = failed.acts;
  Search search(all, failed, budget_nanos);
  search.CutTail(failed.violation.at);
  for (int round = 0; round < 2; ++round) {  // with fewer calls, fewer faults may do
    search.Shrink(&SimOptions::faults);
    search.Shrink(&SimOptions::acts);
  }
  search.options().traced = true;
  Minimized minimized{search.options(), Simulate(search.options()), search.runs()};
  return minimized;
}

}  // namespace swage::sim
