// The ops on CPUs: oneDNN for products, Highway for the rest, OpenMP threads. Quantization, packing
// and casts give the reference's bytes; the other ops depend on the numerics class (CPU family,
// instruction sets, oneDNN, threads) only, never on timing.
#pragma once

#include <string>
#include <vector>

#include "kernels/api/ops.h"
#include "kernels/cpu/families_cpu.h"
#include "kernels/cpu/gemm.h"

namespace swage {

class CpuOps : public Ops {
 public:
  explicit CpuOps(int threads);  // at least 1

  std::string Name() const override { return "cpu"; }
  std::string NumericsClass() const override;

  Status Gemm(const GemmArgs& args) override;
  StatusOr<std::unique_ptr<PackedMatrix>> PackB(const GemmArgs& args) override;
  Status RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                 float* y) override;
  Status Rope(const RopeArgs& args) override;
  Status Attention(const AttentionArgs& args) override;
  Status SwiGlu(int64_t n, const float* gate, const float* up, float* y) override;
  Status Add(int64_t n, const float* x, float* y) override;
  Status Embed(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids, const void* table,
               DType type, float* y) override;
  Status CrossEntropy(int64_t rows, int64_t vocab, const float* logits, const int32_t* target,
                      float* nll) override;
  Status CompareLogits(int64_t rows, int64_t vocab, const float* reference, const float* logits,
                       float* kl, uint8_t* same_top1) override;
  Status Quantize(const QuantizeArgs& args) override;
  Status Dequantize(const QuantizeArgs& args, float* w) override;
  Status FakeQuantizeRows(int64_t rows, int64_t n, const std::string& format, float* x) override;
  Status FakeQuantize(const FakeQuantizeArgs& args) override;
  Status PackRows(int64_t rows, int64_t n, int bits, const int8_t* codes, int32_t* words) override;
  Status UnpackRows(int64_t rows, int64_t n, int bits, const int32_t* words,
                    int8_t* codes) override;
  Status PackCodes(const PackArgs& args, const int8_t* codes, uint8_t* bytes) override;
  Status UnpackCodes(const PackArgs& args, const uint8_t* bytes, int8_t* codes) override;
  Status ErrorSums(int64_t n, const float* a, const float* b, double* error2,
                   double* norm2) override;
  Status CastToF32(int64_t n, const void* x, DType type, float* y) override;
  Status CastFromF32(int64_t n, const float* x, DType type, void* y) override;
  StatusOr<bool> AllFinite(int64_t n, const float* x) override;

  Status LayerNorm(int64_t rows, int64_t h, const float* x, const float* weight, const float* bias,
                   float eps, float* y) override;
  Status Activate(Activation kind, int64_t n, const float* x, const float* up, float* y) override;
  Status SoftCap(int64_t n, float cap, float* x) override;
  Status Scale(int64_t n, float factor, float* x) override;
  Status RouteTopK(const RouteArgs& args) override;
  Status GatherRows(int64_t rows, int64_t width, const int32_t* index, int64_t source,
                    const float* x, float* y) override;
  Status ScatterAddRows(int64_t rows, int64_t width, const int32_t* index, int64_t target,
                        const float* factor, const float* x, float* y) override;

  LinalgOps& linalg() override { return linalg_; }
  RandomOps& random() override { return random_; }
  SelectOps& select() override { return select_; }
  StatisticsOps& statistics() override { return statistics_; }
  TrainOps& train() override { return train_; }
  NarrowOps* narrow() override { return &narrow_; }

 private:
  // Cosines and sines of every position, [tokens, head_dim / 2]; kept, since each layer asks for
  // the same.
  struct RopeTable {
    int64_t tokens = 0, first = 0;
    float scale = 1;
    std::vector<float> inv_freq, cosine, sine, minus_sine;
  };
  void PrepareRope(const RopeArgs& args);

  const int threads_;
  cpu::Gemm gemm_;
  cpu::CpuLinalg linalg_;
  cpu::CpuRandom random_;
  cpu::CpuSelect select_;
  cpu::CpuStatistics statistics_;
  cpu::CpuTrain train_;
  cpu::CpuNarrow narrow_;
  RopeTable rope_;
  std::vector<float> keys_, values_;  // attention's repacked keys and values
  std::vector<uint32_t> pairs_;       // the same in bf16
};

}  // namespace swage
