// Attention: keys and values of each window and key-value head are repacked once, then every block
// of queries of every head is a piece of work of its own.
#include <algorithm>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/cpu/attention_bf16.h"
#include "kernels/cpu/ops_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"

namespace swage {
namespace {

int64_t RoundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

struct Packing {
  int64_t key_stride, value_width;
  int64_t keys_size, values_size;  // floats per window and key-value head
};

Packing PackingOf(const AttentionArgs& args) {
  Packing packing;
  packing.key_stride = RoundUp(args.tokens, cpu::kKeyBlock);
  packing.value_width = RoundUp(args.head_dim, cpu::kLanePad);
  packing.keys_size = args.head_dim * packing.key_stride;
  packing.values_size = packing.key_stride * packing.value_width;
  return packing;
}

// Where the rows of a window and key-value head begin.
int64_t FirstOf(const AttentionArgs& args, int64_t item) {
  const int64_t width = args.kv_heads * args.head_dim;
  return item / args.kv_heads * args.tokens * width + item % args.kv_heads * args.head_dim;
}

cpu::QueryBlock QueriesOf(const AttentionArgs& args, int64_t window, int64_t head, int64_t block) {
  cpu::QueryBlock queries;
  queries.begin = block * cpu::kQueryBlock;
  queries.rows = std::min(cpu::kQueryBlock, args.tokens - queries.begin);
  queries.stride = args.heads * args.head_dim;
  queries.head_dim = args.head_dim;
  queries.scale = args.scale;
  queries.window = args.window == 0 ? args.tokens : args.window;
  queries.softcap = args.softcap;
  const int64_t row = window * args.tokens + queries.begin;
  const int64_t at = row * queries.stride + head * args.head_dim;
  queries.q = args.q + at;
  queries.out = args.out + at;
  if (args.logsumexp != nullptr) {
    queries.logsumexp = args.logsumexp + row * args.heads + head;
    queries.logsumexp_stride = args.heads;
  }
  return queries;
}

// Into zeroed k, blocks of [head_dim, kKeyBlock], and v [key_stride, value_width].
void Repack(const AttentionArgs& args, const Packing& packing, int64_t item, float* k, float* v) {
  const int64_t width = args.kv_heads * args.head_dim;
  const int64_t first = FirstOf(args, item);
  std::fill(k, k + packing.keys_size, 0.0f);
  std::fill(v, v + packing.values_size, 0.0f);
  for (int64_t t = 0; t < args.tokens; ++t) {
    const float* key = args.k + first + t * width;
    float* down = k + t / cpu::kKeyBlock * cpu::kKeyBlock * args.head_dim + t % cpu::kKeyBlock;
    for (int64_t d = 0; d < args.head_dim; ++d) down[d * cpu::kKeyBlock] = key[d];
    std::copy_n(args.v + first + t * width, args.head_dim, v + t * packing.value_width);
  }
}

}  // namespace

Status CpuOps::Attention(const AttentionArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckAttention(args));
  if (args.windows == 0 || args.tokens == 0) return Status();
  const int64_t kv_items = args.windows * args.kv_heads;
  const int64_t blocks = RoundUp(args.tokens, cpu::kQueryBlock) / cpu::kQueryBlock;
  const int64_t per_kv = args.heads / args.kv_heads;
  // Calls attend(queries, kv item) for every block of queries of every head.
  const auto for_blocks = [&](const auto& attend) {
    cpu::ParallelForEach(threads_, args.windows * args.heads * blocks, [&](int64_t item) {
      const int64_t head = item / blocks % args.heads, window = item / blocks / args.heads;
      attend(QueriesOf(args, window, head, item % blocks),
             window * args.kv_heads + head / per_kv);
    });
  };
  if (args.narrow && cpu::AttentionRunsBf16(args.head_dim)) {
    const int64_t size = RoundUp(args.tokens, cpu::kKeyBlock) * args.head_dim / 2;
    const int64_t width = args.kv_heads * args.head_dim;
    pairs_.resize(2 * kv_items * size);
    cpu::ParallelForEach(threads_, kv_items, [&](int64_t item) {
      const int64_t first = FirstOf(args, item);
      uint32_t* keys = &pairs_[2 * item * size];
      cpu::PackPairsDown(args.tokens, args.head_dim, args.k + first, width, keys);
      cpu::PackPairsAlong(args.tokens, args.head_dim, args.v + first, width, keys + size);
    });
    for_blocks([&](const cpu::QueryBlock& queries, int64_t item) {
      thread_local std::vector<float> scratch;
      scratch.resize(cpu::AttendPairsScratchFloats(args.head_dim));
      cpu::PairHead keys;
      keys.keys_down = &pairs_[2 * item * size];
      keys.values_along = keys.keys_down + size;
      cpu::AttendBlockPairs(queries, keys, scratch.data());
    });
    return Status();
  }
  const Packing packing = PackingOf(args);
  keys_.resize(kv_items * packing.keys_size);
  values_.resize(kv_items * packing.values_size);
  cpu::ParallelForEach(threads_, kv_items, [&](int64_t item) {
    Repack(args, packing, item, &keys_[item * packing.keys_size],
           &values_[item * packing.values_size]);
  });
  for_blocks([&](const cpu::QueryBlock& queries, int64_t item) {
    thread_local std::vector<float> scratch;
    scratch.resize(cpu::AttendScratchFloats(args.head_dim));
    const cpu::HeadKeys keys{&keys_[item * packing.keys_size], &values_[item * packing.values_size],
                             packing.value_width};
    cpu::AttendBlock(queries, keys, scratch.data());
  });
  return Status();
}

}  // namespace swage
