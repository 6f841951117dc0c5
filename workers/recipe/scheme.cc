#include "workers/recipe/scheme.h"

#include <algorithm>

namespace swage {
namespace {

constexpr uint64_t kScaleBytes = 4;  // scales are stored as f32

bool Contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

uint64_t Words32(uint64_t bits) { return (bits + 31) / 32; }

}  // namespace

const std::vector<SchemeRules>& AllSchemeRules() {
  static const auto* rules = new std::vector<SchemeRules>{
      {"int4", 4, {"channel", "group"}, true, {"int8"}, "group"},
      {"int8", 8, {"channel", "group"}, true, {"int8"}, "channel"},
      {"fp8_e4m3", 8, {"tensor", "channel"}, false, {"fp8_e4m3"}, "channel"},
  };
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
  return InvalidInput("ACTIVATIONS_DO_NOT_FIT",
                      Cat(where, "weights in ", scheme.format, " do not go with activations in ",
                          activations.format, "; they go with: ", Join(rules->activations, ", ")),
                      "change the format of the activations, or remove them");
}

std::string SchemeText(const QuantScheme& scheme) {
  return Cat(scheme.format, scheme.symmetric ? " symmetric, " : " asymmetric, ",
             scheme.granularity == "group" ? Cat("group of ", scheme.group_size)
                                           : Cat("one scale per ", scheme.granularity));
}

StoredSize StoredSizeOf(const LinearPlan& linear, std::string_view export_format, int64_t out,
                        int64_t in) {
  const QuantScheme& scheme = linear.weights;
  const SchemeRules* rules = FindSchemeRules(scheme.format);
  SWAGE_CHECK(rules != nullptr, "format ", scheme.format, " has no rules");
  const uint64_t rows = static_cast<uint64_t>(out), columns = static_cast<uint64_t>(in);
  if (export_format == "dense") return {2 * rows * columns, 16 * rows * columns};
  const uint64_t groups =
      scheme.granularity == "group" ? columns / static_cast<uint64_t>(scheme.group_size) : 1;
  const uint64_t scales = scheme.granularity == "tensor" ? 1 : rows * groups;
  // Integers without activations are packed into 32-bit words along each row (pack-quantized);
  // everything else takes a byte a code (int-quantized, float-quantized).
  const bool packed = scheme.format.starts_with("int") && !linear.activations.has_value();
  const uint64_t bits = static_cast<uint64_t>(rules->bits);
  const uint64_t code_bytes = packed ? rows * Words32(columns * bits) * 4 : rows * columns;
  uint64_t zero_bytes = 0;
  if (!scheme.symmetric) zero_bytes = packed ? Words32(rows * bits) * 4 * groups : scales;
  StoredSize size;
  size.bits = 8 * (code_bytes + scales * kScaleBytes + zero_bytes);
  size.bytes = size.bits / 8 + (packed ? 2 * sizeof(int64_t) : 0);
  return size;
}

}  // namespace swage
