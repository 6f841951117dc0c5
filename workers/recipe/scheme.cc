#include "workers/recipe/scheme.h"

#include <algorithm>

namespace swage {
namespace {

using Rows = std::vector<SchemeRules>;

Rows MakeRules() {
  const std::vector<std::string> rows = {"channel", "group"}, group = {"group"};
  // Integers go with activations in int8 (W4A8, W8A8) and in fp8 (W4AFP8).
  const std::vector<std::string> for_integers = {"int8", "fp8_e4m3"};
  Rows rules;
  for (int bits = 2; bits <= 8; ++bits) {
    static constexpr std::string_view kNames[] = {"int2", "int3", "int4", "int5",
                                                  "int6", "int7", "int8"};
    rules.push_back(
        {kNames[bits - 2], bits, rows, true, for_integers, bits == 8 ? "channel" : "group"});
  }
  rules.push_back({"ternary", 2, rows, false, {}, "channel"});
  rules.push_back({"fp8_e4m3", 8, {"tensor", "channel", "block"}, false, {"fp8_e4m3"}, "channel"});
  rules.push_back({"mxfp8", 8, group, false, {"mxfp8"}, "group", 32, true});
  rules.push_back({"mxfp4", 4, group, false, {"mxfp4"}, "group", 32, true});
  rules.push_back({"nvfp4", 4, group, false, {}, "group", 16, true});
  rules.push_back({"nvfp4_46", 4, group, false, {}, "group", 16, true});
  rules.push_back({"fp8_e5m2", 8, {"tensor", "channel"}, false, {}, "channel", 128, false, false});
  rules.push_back({"fp4_ue5m3", 4, group, false, {}, "group", 16, true, false});
  rules.push_back({"nf4", 4, rows, false, {}, "group", 64, false, false});
  return rules;
}

// Bytes of one scale: f32, or the byte of a format with 8-bit scales.
uint64_t ScaleBytes(std::string_view format) {
  return format == "mxfp4" || format == "mxfp8" || format.starts_with("nvfp4") ? 1 : 4;
}

bool Contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

uint64_t Words32(uint64_t bits) { return (bits + 31) / 32; }

}  // namespace

const std::vector<SchemeRules>& AllSchemeRules() {
  static const auto* rules = new Rows(MakeRules());
  return *rules;
}

const SchemeRules* FindSchemeRules(std::string_view format) {
  for (const SchemeRules& rules : AllSchemeRules()) {
    if (rules.format == format) return &rules;
  }
  return nullptr;
}

Status CheckScheme(const QuantScheme& scheme, std::string_view where) {
  const SchemeRules* rules = FindSchemeRules(scheme.format);
  SWAGE_CHECK(rules != nullptr, "format ", scheme.format, " is in the catalog but has no rules");
  if (!Contains(rules->granularities, scheme.granularity)) {
    return InvalidInput("GRANULARITY_DOES_NOT_FIT",
                        Cat(where, "the format ", scheme.format, " has no granularity '",
                            scheme.granularity, "'; it has: ", Join(rules->granularities, ", ")),
                        "choose one of them");
  }
  if (rules->fixed_group && scheme.group_size != rules->group_size) {
    return InvalidInput("GROUP_SIZE_DOES_NOT_FIT",
                        Cat(where, "the format ", scheme.format, " has groups of ",
                            rules->group_size, ", not of ", scheme.group_size),
                        "remove group_size");
  }
  if (!scheme.symmetric && !rules->has_asymmetric) {
    return InvalidInput("NO_ASYMMETRIC_FORMAT",
                        Cat(where, "the format ", scheme.format, " is always symmetric"),
                        "remove symmetric: false");
  }
  return absl::OkStatus();
}

Status CheckActivations(const QuantScheme& scheme, const ActivationScheme& activations,
                        std::string_view where) {
  const SchemeRules* rules = FindSchemeRules(scheme.format);
  SWAGE_CHECK(rules != nullptr, "format ", scheme.format, " is in the catalog but has no rules");
  if (Contains(rules->activations, activations.format)) return absl::OkStatus();
  if (rules->activations.empty()) {
    return InvalidInput("ACTIVATIONS_DO_NOT_FIT",
                        Cat(where, "weights in ", scheme.format, " have no activations to go with"),
                        "remove the activations");
  }
  return InvalidInput("ACTIVATIONS_DO_NOT_FIT",
                      Cat(where, "weights in ", scheme.format, " do not go with activations in ",
                          activations.format, "; they go with: ", Join(rules->activations, ", ")),
                      "change the format of the activations, or remove them");
}

// Everything else takes a byte a code (int-quantized, float-quantized, mxfp8) or two (fp4).
bool IsPackedIntoWords(const LinearPlan& linear) {
  const std::string_view format = linear.weights.format;
  return (format.starts_with("int") && !linear.activations.has_value()) || format == "ternary";
}

std::string SchemeText(const QuantScheme& scheme) {
  return Cat(scheme.format, scheme.symmetric ? " symmetric, " : " asymmetric, ",
             scheme.granularity == "group" ? Cat("group of ", scheme.group_size)
             : scheme.granularity == "block"
                 ? Cat("blocks of ", scheme.group_size, " x ", scheme.group_size)
                 : Cat("one scale per ", scheme.granularity));
}

StoredSize StoredSizeOf(const LinearPlan& linear, std::string_view export_format, int64_t out,
                        int64_t in) {
  const QuantScheme& scheme = linear.weights;
  const SchemeRules* rules = FindSchemeRules(scheme.format);
  SWAGE_CHECK(rules != nullptr, "format ", scheme.format, " has no rules");
  const uint64_t rows = static_cast<uint64_t>(out), columns = static_cast<uint64_t>(in);
  if (export_format == "dense") return {2 * rows * columns, 16 * rows * columns};
  const uint64_t size = static_cast<uint64_t>(scheme.group_size);
  const uint64_t groups = size > 0 ? (columns + size - 1) / size : 1;
  uint64_t scales = scheme.granularity == "tensor" ? 1 : rows * groups;
  if (scheme.granularity == "block") scales = (rows + size - 1) / size * groups;
  const bool packed = IsPackedIntoWords(linear);
  const uint64_t bits = static_cast<uint64_t>(rules->bits);
  uint64_t code_bytes = rows * columns;
  if (packed) code_bytes = rows * Words32(columns * bits) * 4;
  if (bits == 4 && !packed && !scheme.format.starts_with("int"))
    code_bytes = rows * ((columns + 1) / 2);
  const uint64_t global_bytes = scheme.format.starts_with("nvfp4") ? 4 : 0;
  uint64_t zero_bytes = 0;
  if (!scheme.symmetric) zero_bytes = packed ? Words32(rows * bits) * 4 * groups : scales;
  StoredSize stored;
  stored.bits = 8 * (code_bytes + scales * ScaleBytes(scheme.format) + global_bytes + zero_bytes);
  stored.bytes = stored.bits / 8 + (packed ? 2 * sizeof(int64_t) : 0);
  return stored;
}

}  // namespace swage
