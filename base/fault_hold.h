// Fault injection for tests: makes a process linger in a named stage, so that a kill can hit it there.
// The environment variable SWAGE_HOLD="stage:milliseconds,..." (e.g. "load:300,commit:300") says where and how long;
// "block" matches every block[i], "block[3]" that one. Unset: HoldAt costs one branch. Thread-safe.
//
//   ReportStage("load");  // first report, then linger
//   HoldAt("load");
#pragma once

#include <string_view>

namespace swage {

// Sleeps when SWAGE_HOLD (read once, at the first call) names `stage`.
void HoldAt(std::string_view stage);

// Milliseconds that `spec` asks for at `stage`; 0 when it does not name it. Malformed entries count as 0; at most
// ten minutes.
int HoldMillis(std::string_view spec, std::string_view stage);

}  // namespace swage
