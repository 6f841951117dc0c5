// A configuration that is accepted can be used without any more checks: its sizes multiply without overflow (the
// sanitizer watches) and its table row lists its tensors.
#include <cstdint>
#include <limits>
#include <string_view>

#include "base/modelfile/architecture.h"
#include "base/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = swage::ParseModelConfig({reinterpret_cast<const char*>(data), size});
  if (!config.ok()) {
    SWAGE_CHECK(!swage::ReasonOf(config.status()).empty(), "an error without a reason");
    return 0;
  }
  const swage::Architecture* row = swage::FindArchitecture(config->architecture);
  SWAGE_CHECK(row != nullptr);
  SWAGE_CHECK(config->heads % config->kv_heads == 0 && config->head_dim > 0);
  if (row->positions.empty()) {
    for (const swage::RopeConfig& rope : {config->rope, config->local_rope.value_or(config->rope)}) {
      SWAGE_CHECK(rope.rotary_dim > 0 && rope.rotary_dim % 2 == 0 && rope.rotary_dim <= config->head_dim);
    }
  }
  for (const int64_t layer : {int64_t{0}, config->layers - 1}) {
    for (const swage::LinearSpec& linear : swage::BlockLinears(*config, layer)) {
      SWAGE_CHECK(linear.in > 0 && linear.out > 0, linear.module);
      SWAGE_CHECK(linear.in <= std::numeric_limits<int64_t>::max() / 8 / linear.out, linear.module);
      SWAGE_CHECK(swage::LayerOf(*config, swage::BlockPrefix(*config, layer) + linear.module) == layer);
    }
    SWAGE_CHECK(!config->IsLocal(layer) || config->sliding_window > 0);
    SWAGE_CHECK(!config->HasExperts(layer) || config->experts.per_token <= config->experts.count);
  }
  swage::ValidateModel(*config, [](std::string_view) { return nullptr; }).IgnoreError();
  return 0;
}
