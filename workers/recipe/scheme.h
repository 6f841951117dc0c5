// Which combinations of format, granularity, symmetry and activations exist. A test compares the
// table with kernels/numeric, which computes them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "workers/recipe/recipe.h"

namespace swage {

struct SchemeRules {
  std::string_view format;
  int bits;
  std::vector<std::string> granularities;
  bool has_asymmetric;
  std::vector<std::string> activations;  // formats of activations that go with it
  std::string_view default_granularity;
  int64_t group_size = 128;  // the default; the only one where `fixed_group`
  bool fixed_group = false;
  bool compressed_tensors = true;  // that format has words for it; if not, only dense models do
};

inline constexpr int64_t kActivationGroupSize = 128;  // of fp8_e4m3 activations in groups
inline constexpr int64_t kMaxGroupSize = 1 << 20;

const std::vector<SchemeRules>& AllSchemeRules();
const SchemeRules* FindSchemeRules(std::string_view format);

// Errors: GRANULARITY_DOES_NOT_FIT, GROUP_SIZE_DOES_NOT_FIT, NO_ASYMMETRIC_FORMAT. `where` begins
// the message.
Status CheckScheme(const QuantScheme& scheme, std::string_view where);
// Errors: ACTIVATIONS_DO_NOT_FIT.
Status CheckActivations(const QuantScheme& scheme, const ActivationScheme& activations,
                        std::string_view where);

// Whether a linear of this plan is stored with its codes packed into 32-bit words.
bool IsPackedIntoWords(const LinearPlan& linear);

std::string SchemeText(const QuantScheme& scheme);  // for people: "int4 symmetric, group of 128"

// Bytes in the artifact of a linear [out, in], its weight_shape tensor included, and the bits of
// codes, scales and zero points alone (compressed-tensors' layouts: workers/exports).
struct StoredSize {
  uint64_t bytes = 0;
  uint64_t bits = 0;
};
// `export_format`: "dense" stores the rounded weights as bf16.
StoredSize StoredSizeOf(const LinearPlan& linear, std::string_view export_format, int64_t out,
                        int64_t in);

}  // namespace swage
