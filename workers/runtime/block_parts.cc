#include "workers/runtime/block_parts.h"

namespace swage {

const Linear& LinearOf(const Block& block, std::string_view module) {
  auto it = block.linears.find(module);
  SWAGE_CHECK(it != block.linears.end(), module, " is in no row of the architecture table");
  return it->second;
}

const Norm& NormOf(const Block& block, std::string_view name) {
  auto it = block.norms.find(name);
  SWAGE_CHECK(it != block.norms.end(), name, " is in no row of the architecture table");
  return it->second;
}

Part PartOf(const Block& block, std::string_view module) {
  const Linear& linear = LinearOf(block, module);
  return {&linear, 0, linear.out, std::string(module)};
}

AttentionParts AttentionPartsOf(const ModelConfig& config, const Block& block) {
  const Architecture& row = ArchitectureOf(config);
  AttentionParts parts;
  parts.o = PartOf(block, row.o);
  if (row.qkv.empty()) {
    parts.q = PartOf(block, row.q);
    parts.k = PartOf(block, row.k);
    parts.v = PartOf(block, row.v);
    return parts;
  }
  const int64_t q_width = config.heads * config.head_dim;
  const int64_t kv_width = config.kv_heads * config.head_dim;
  const Linear& fused = LinearOf(block, row.qkv);
  const std::string module(row.qkv);
  parts.q = {&fused, 0, q_width, module};
  parts.k = {&fused, q_width, kv_width, module};
  parts.v = {&fused, q_width + kv_width, kv_width, module};
  return parts;
}

FeedParts FeedPartsOf(const ModelConfig& config, const Block& block) {
  const Architecture& row = ArchitectureOf(config);
  FeedParts parts;
  parts.down = PartOf(block, row.down);
  if (!row.gate_up.empty()) {
    const Linear& fused = LinearOf(block, row.gate_up);
    const std::string module(row.gate_up);
    parts.gate = {&fused, 0, config.ffn, module};
    parts.up = {&fused, config.ffn, config.ffn, module};
    return parts;
  }
  parts.up = PartOf(block, row.up);
  if (!row.gate.empty()) parts.gate = PartOf(block, row.gate);
  return parts;
}

FeedParts ExpertPartsOf(const ModelConfig& config, const Block& block, std::string_view prefix) {
  const Architecture& row = ArchitectureOf(config);
  return {PartOf(block, Cat(prefix, row.expert_gate)), PartOf(block, Cat(prefix, row.expert_up)),
          PartOf(block, Cat(prefix, row.expert_down))};
}

Status PackLinear(Ops* ops, int64_t rows, Linear* linear) {
  if (linear->bf16.size() == 0) return absl::OkStatus();
  GemmArgs gemm;
  gemm.m = rows;
  gemm.n = linear->out;
  gemm.k = linear->in;
  gemm.a_type = gemm.b_type = DType::kBF16;
  gemm.b = linear->bf16.data();
  SWAGE_ASSIGN_OR_RETURN(linear->packed, ops->PackB(gemm));
  if (linear->packed != nullptr) linear->bf16 = Buffer<uint16_t>();
  return absl::OkStatus();
}

Status PackLinears(Ops* ops, const ModelConfig& config, int64_t rows, Block* block) {
  const Architecture& row = ArchitectureOf(config);
  for (std::string_view module :
       {row.q, row.k, row.v, row.o, row.gate, row.up, row.down}) {  // not fused, no experts
    const auto found = block->linears.find(module);
    if (module.empty() || found == block->linears.end()) continue;
    SWAGE_RETURN_IF_ERROR(PackLinear(ops, rows, &found->second));
  }
  return absl::OkStatus();
}

Status PackLinearsBack(Ops* ops, const ModelConfig& config, int64_t rows, bool kept,
                       Block* block) {
  const Architecture& row = ArchitectureOf(config);
  for (std::string_view module : {row.q, row.k, row.v, row.o, row.gate, row.up, row.down}) {
    const auto found = block->linears.find(module);
    if (module.empty() || found == block->linears.end()) continue;
    Linear& linear = found->second;
    if (linear.bf16.size() == 0) continue;
    GemmArgs gemm;
    gemm.m = rows;
    gemm.n = linear.in;
    gemm.k = linear.out;
    gemm.layout = GemmLayout::kNN;
    gemm.a_type = gemm.b_type = DType::kBF16;
    gemm.b = linear.bf16.data();
    SWAGE_ASSIGN_OR_RETURN(linear.packed_back, ops->PackB(gemm));
    const bool feed = module == row.gate || module == row.up || module == row.down;
    if (kept && feed && linear.packed_back != nullptr) linear.bf16 = Buffer<uint16_t>();
  }
  return absl::OkStatus();
}

bool CanRunNarrow(Ops* ops, const ModelConfig& config, const Block& block) {
  const NormKind norm = ArchitectureOf(config).norm;
  if (ops->narrow() == nullptr || norm == NormKind::kLayer || !config.norm_before ||
      config.HasExperts(block.layer)) {
    return false;
  }
  for (const auto& [module, linear] : block.linears) {
    if (!linear.IsNarrow() || !linear.activations.empty()) return false;
  }
  return true;
}

Activation ActivationOf(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kSilu:
      return Activation::kSilu;
    case ActivationKind::kGeluTanh:
      return Activation::kGeluTanh;
    case ActivationKind::kGeluErf:
      return Activation::kGeluErf;
    case ActivationKind::kRelu:
      break;
  }
  return Activation::kRelu;
}

AttentionArgs AttentionOf(const ModelConfig& config, const Block& block, int64_t windows,
                          int64_t tokens) {
  const int64_t layer = block.layer;
  AttentionArgs attention;
  attention.windows = windows;
  attention.tokens = tokens;
  attention.heads = config.heads;
  attention.kv_heads = config.kv_heads;
  attention.head_dim = config.head_dim;
  const double divisor = config.scale_by_layer ? static_cast<double>(layer + 1) : 1.0;
  attention.scale = static_cast<float>(config.attention_scale / divisor);
  attention.narrow = LinearOf(block, ArchitectureOf(config).o).IsNarrow();
  attention.softcap = static_cast<float>(config.attention_softcap);
  attention.window = config.IsLocal(layer) ? config.sliding_window : 0;
  return attention;
}

int64_t PaddedExpertRows(int64_t rows) {
  const int64_t step = rows <= 64 ? 16 : 64;
  return (rows + step - 1) / step * step;
}

const RopeTable& RopeTables::For(bool local, int64_t tokens) {
  const bool own = local && config_.local_rope.has_value();
  const RopeConfig& rope = own ? *config_.local_rope : config_.rope;
  Entry& entry = own ? local_ : global_;
  const bool fits = entry.tokens == tokens || (entry.tokens >= 0 && !RopeDependsOnWindow(rope));
  if (!fits) {
    entry.table = MakeRopeTable(rope, tokens);
    entry.tokens = tokens;
  }
  return entry.table;
}

Status RopeTables::Rotate(Ops* ops, int64_t layer, int64_t rows, int64_t tokens, int64_t heads,
                          bool inverse, float* x) {
  if (!ArchitectureOf(config_).positions.empty()) return absl::OkStatus();
  const RopeTable& table = For(config_.IsLocal(layer), tokens);
  RopeArgs rope;
  rope.rows = rows;
  rope.tokens = tokens;
  rope.heads = heads;
  rope.head_dim = config_.head_dim;
  rope.inv_freq = table.inv_freq.data();
  rope.x = x;
  rope.rotary = 2 * static_cast<int64_t>(table.inv_freq.size());
  rope.scale = table.scale;
  rope.inverse = inverse;
  return ops->Rope(rope);
}

}  // namespace swage
