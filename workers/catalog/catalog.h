// The one table of methods. ListMethods, the CLI's help, recipe validation, docs and tests all read these rows.
// Adding a method = one row here + one file under workers/methods + one tests/jobs/<id>.jobtest (checked by tests/tidy).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace swage {

enum class OptionType { kInt, kFloat, kBool, kString, kChoice };

struct OptionRow {
  std::string_view name;
  OptionType type;
  std::string_view default_value;      // as written in YAML
  double min = 0, max = 0;             // for kInt and kFloat, inclusive
  std::vector<std::string_view> choices;  // for kChoice
  std::string_view meaning;
};

struct MethodRow {
  std::string_view id;       // "rtn"
  std::string_view kind;     // "quantize"
  int version = 1;           // part of the action digest: grows when results change
  std::string_view title;
  std::string_view paper;    // citation, or what it follows
  std::vector<OptionRow> options;
  // What a step of this method may say.
  std::vector<std::string_view> formats;        // rows of kernels/numeric: "int4", ...
  std::vector<std::string_view> granularities;  // "tensor", "channel", "group"
  std::vector<std::string_view> exports;        // "compressed-tensors", "dense"
  bool needs_calibration = false;
  std::vector<std::string_view> devices = {};  // kinds it runs on beside the host's processor
  bool gang = false;                           // several workers can share one job
};

const std::vector<MethodRow>& Methods();
const MethodRow* FindMethod(std::string_view id);  // nullptr when unknown

}  // namespace swage
