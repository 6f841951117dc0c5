#include "clients/cli/report_view.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "clients/cli/console.h"

namespace swage {
namespace {

using Tree = nlohmann::json;

// The value at a path like "quality.perplexity.original"; null when any part is missing.
const Tree& At(const Tree& json, std::string_view path) {
  static const Tree kNull;
  const Tree* at = &json;
  for (const std::string& part : Split(path, '.')) {
    if (!at->is_object() || !at->contains(part)) return kNull;
    at = &(*at)[part];
  }
  return *at;
}

std::string Number(const Tree& value, const char* format) {
  if (!value.is_number()) return "-";
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value.get<double>());
  return buffer;
}

std::string Bytes(const Tree& value) { return value.is_number() ? HumanBytes(value.get<double>()) : "-"; }

std::string SchemeOf(const Tree& recipe) {
  const Tree& steps = At(recipe, "steps");
  if (!steps.is_array() || steps.empty() || !steps[0].is_object()) return "-";
  const Tree& step = steps[0];
  const auto word = [](const Tree& value) { return value.is_string() ? value.get<std::string>() : std::string(); };
  std::string text = Cat(word(At(step, "method")), " ", word(At(step, "format")), " ", word(At(step, "granularity")));
  if (At(step, "group_size").is_number_integer() && At(step, "group_size").get<int64_t>() > 0) {
    text += Cat(" ", At(step, "group_size").get<int64_t>());
  }
  if (const std::string activations = word(At(step, "activations.format")); !activations.empty()) {
    text += Cat(" + ", activations, " activations");
  }
  return Printable(text);
}

}  // namespace

StatusOr<ReportRow> ReadReport(std::string_view report_json, const std::string& name) {
  const Tree report = Tree::parse(report_json, nullptr, false);
  if (!report.is_object() || !At(report, "stages").is_array()) {
    return DataLoss("REPORT_MALFORMED", Cat("the report of ", name, " is not the JSON of a report"),
                    "download the artifact again, or look at its report.json");
  }
  ReportRow row;
  row.name = Printable(name);
  row.scheme = SchemeOf(At(report, "recipe"));
  row.original_bytes = Bytes(At(report, "bytes.original"));
  row.bytes = Bytes(At(report, "bytes.artifact"));
  if (At(report, "bytes.artifact").is_number() && At(report, "bytes.original").is_number()) {
    const double share = At(report, "bytes.artifact").get<double>() / At(report, "bytes.original").get<double>();
    row.share = Number(share * 100, "%.1f %%");
  } else {
    row.share = "-";
  }
  row.bits = Number(At(report, "bits.effective"), "%.3f");
  row.perplexity_before = Number(At(report, "quality.perplexity.original"), "%.4f");
  row.perplexity_after = Number(At(report, "quality.perplexity.compressed"), "%.4f");
  double seconds = 0, peak = 0;
  for (const Tree& stage : At(report, "stages")) {
    if (At(stage, "seconds").is_number()) seconds += At(stage, "seconds").get<double>();
    if (At(stage, "peak_bytes").is_number()) peak = std::max(peak, At(stage, "peak_bytes").get<double>());
  }
  row.seconds = Number(seconds, "%.2f");
  row.peak = peak > 0 ? HumanBytes(peak) : "-";
  return row;
}

std::string ReportTable(const std::vector<ReportRow>& rows) {
  TextTable table({{"ARTIFACT"},
                   {"SCHEME"},
                   {"ORIGINAL", Align::kRight},
                   {"BYTES", Align::kRight},
                   {"SHARE", Align::kRight},
                   {"BITS", Align::kRight},
                   {"PPL BEFORE", Align::kRight},
                   {"PPL AFTER", Align::kRight},
                   {"SECONDS", Align::kRight},
                   {"PEAK MEMORY", Align::kRight}});
  for (const ReportRow& row : rows) {
    table.AddRow({row.name, row.scheme, row.original_bytes, row.bytes, row.share, row.bits, row.perplexity_before,
                  row.perplexity_after, row.seconds, row.peak});
  }
  return table.ToString();
}

}  // namespace swage
