// The report of a finished job (report.json, docs/formats/report.md) as a row of a table. Reads what it knows and
// shows "-" for what is not there: reports outlive the version that wrote them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

struct ReportRow {
  std::string name;     // alias, or folder
  std::string scheme;   // "int4 group 128, int8 activations"
  std::string original_bytes, bytes, share, bits, perplexity_before, perplexity_after, seconds, peak;
};

// REPORT_MALFORMED when it is not the JSON of a report.
StatusOr<ReportRow> ReadReport(std::string_view report_json, const std::string& name);
std::string ReportTable(const std::vector<ReportRow>& rows);

}  // namespace swage
