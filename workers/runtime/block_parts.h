// What one decoder block is made of, as its row of the architecture table says: the common ground
// of the forward pass (forward.h) and the backward pass (backward.h), so that neither can compute
// another model than the other.
#pragma once

#include <string>

#include "workers/runtime/model.h"
#include "workers/runtime/rope.h"

namespace swage {

// Rows [begin, begin + count) of a linear: a part of a fused one, or all.
struct Part {
  const Linear* linear = nullptr;
  int64_t begin = 0, count = 0;
  std::string module;  // within the block
};
struct AttentionParts {
  Part q, k, v, o;
};
struct FeedParts {  // gate has no linear when the feed-forward is plain
  Part gate, up, down;
};

// What the table names is in every loaded block.
const Linear& LinearOf(const Block& block, std::string_view module);
const Norm& NormOf(const Block& block, std::string_view name);

Part PartOf(const Block& block, std::string_view module);  // all of it
AttentionParts AttentionPartsOf(const ModelConfig& config, const Block& block);
FeedParts FeedPartsOf(const ModelConfig& config, const Block& block);
// prefix: "mlp.experts.3." or that of the shared expert.
FeedParts ExpertPartsOf(const ModelConfig& config, const Block& block, std::string_view prefix);

// Repacks bf16 linears of which every row is used at once for products of about `rows` rows; what is
// repacked has no plain weights any more. Worth its while when several micro-batches follow.
Status PackLinears(Ops* ops, const ModelConfig& config, int64_t rows, Block* block);
Status PackLinear(Ops* ops, int64_t rows, Linear* linear);
// For backwards, which read both forms; `kept`: those of the feed-forward its second form alone.
Status PackLinearsBack(Ops* ops, const ModelConfig& config, int64_t rows, bool kept, Block* block);
// Whether norms and activations of this block may write the bf16 that its linears read: the same
// bits as by f32 and casts.
bool CanRunNarrow(Ops* ops, const ModelConfig& config, const Block& block);

Activation ActivationOf(ActivationKind kind);
// Of one layer, without its tensors. Narrow where its linears are.
AttentionArgs AttentionOf(const ModelConfig& config, const Block& block, int64_t windows,
                          int64_t tokens);
// Products keep a plan for each number of rows: experts get theirs rounded up, with rows of zeros,
// so that there are few.
int64_t PaddedExpertRows(int64_t rows);

// Tables of rotary embeddings, made when first asked for.
class RopeTables {
 public:
  explicit RopeTables(const ModelConfig& config) : config_(config) {}
  // Turns the heads of x[rows, heads * head_dim], or turns them back. Nothing where positions are
  // learned.
  Status Rotate(Ops* ops, int64_t layer, int64_t rows, int64_t tokens, int64_t heads, bool inverse,
                float* x);

 private:
  struct Entry {
    int64_t tokens = -1;
    RopeTable table;
  };
  const RopeTable& For(bool local, int64_t tokens);

  const ModelConfig& config_;
  Entry global_, local_;
};

}  // namespace swage
