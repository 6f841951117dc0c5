// The CPU ops with a clock around each: seconds by kind of op.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "kernels/cpu/ops_cpu.h"

namespace swage {

class OpClock {
 public:
  void Reset() { seconds_.clear(); }
  const std::map<std::string, double>& seconds() const { return seconds_; }
  template <typename Call>
  auto Time(const char* kind, const Call& call) {
    const auto begin = std::chrono::steady_clock::now();
    auto result = call();
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    seconds_[kind] += spent.count();
    return result;
  }

 private:
  std::map<std::string, double> seconds_;
};

class TimedTrain : public cpu::CpuTrain {
 public:
  TimedTrain(int threads, OpClock* clock) : CpuTrain(threads), clock_(clock) {}
  Status RmsNormBackward(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                         const float* dy, float* dx, float* dweight) override {
    return clock_->Time("norm", [&] {
      return CpuTrain::RmsNormBackward(rows, h, x, weight, eps, dy, dx, dweight);
    });
  }
  Status SwiGluBackward(int64_t n, const float* gate, const float* up, const float* dy,
                        float* dgate, float* dup) override {
    return clock_->Time("elementwise",
                        [&] { return CpuTrain::SwiGluBackward(n, gate, up, dy, dgate, dup); });
  }
  Status CrossEntropyBackward(int64_t rows, int64_t vocab, const float* logits,
                              const int32_t* target, float scale, float* dlogits) override {
    return clock_->Time("loss", [&] {
      return CpuTrain::CrossEntropyBackward(rows, vocab, logits, target, scale, dlogits);
    });
  }
  Status AttentionBackward(const AttentionGradArgs& args) override {
    return clock_->Time("attention", [&] { return CpuTrain::AttentionBackward(args); });
  }
  Status EmbedBackward(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids, const float* dy,
                       float* dtable) override {
    return clock_->Time("embedding",
                        [&] { return CpuTrain::EmbedBackward(rows, h, vocab, ids, dy, dtable); });
  }
  Status AdamW(const AdamWArgs& args) override {
    return clock_->Time("optimizer", [&] { return CpuTrain::AdamW(args); });
  }

 private:
  OpClock* const clock_;
};

class TimedNarrow : public cpu::CpuNarrow {
 public:
  TimedNarrow(int threads, OpClock* clock) : CpuNarrow(threads), clock_(clock) {}
  Status RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                 uint16_t* y) override {
    return clock_->Time("norm", [&] { return CpuNarrow::RmsNorm(rows, h, x, weight, eps, y); });
  }
  Status SwiGlu(int64_t n, const float* gate, const float* up, uint16_t* y) override {
    return clock_->Time("elementwise", [&] { return CpuNarrow::SwiGlu(n, gate, up, y); });
  }
  Status SwiGlu(int64_t n, const uint16_t* gate, const uint16_t* up, uint16_t* y) override {
    return clock_->Time("elementwise", [&] { return CpuNarrow::SwiGlu(n, gate, up, y); });
  }
  Status SwiGluBackward(int64_t n, const uint16_t* gate, const uint16_t* up, const float* dy,
                        uint16_t* dgate, uint16_t* dup) override {
    return clock_->Time("elementwise",
                        [&] { return CpuNarrow::SwiGluBackward(n, gate, up, dy, dgate, dup); });
  }
  Status CrossEntropyBackward(int64_t rows, int64_t vocab, const float* logits,
                              const int32_t* target, float scale, float* nll,
                              uint16_t* dlogits) override {
    return clock_->Time("loss", [&] {
      return CpuNarrow::CrossEntropyBackward(rows, vocab, logits, target, scale, nll, dlogits);
    });
  }

 private:
  OpClock* const clock_;
};

class TimedOps : public CpuOps {
 public:
  explicit TimedOps(int threads)
      : CpuOps(threads), train_(threads, &clock_), narrow_(threads, &clock_) {}
  void Reset() { clock_.Reset(); }
  const std::map<std::string, double>& kinds() const { return clock_.seconds(); }

  Status Gemm(const GemmArgs& args) override {
    const char* kind = args.layout == GemmLayout::kNT   ? "gemm"
                       : args.layout == GemmLayout::kNN ? "gemm dx"
                                                        : "gemm dw";
    return clock_.Time(kind, [&] { return CpuOps::Gemm(args); });
  }
  StatusOr<std::unique_ptr<PackedMatrix>> PackB(const GemmArgs& args) override {
    return clock_.Time("packing", [&] { return CpuOps::PackB(args); });
  }
  Status RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                 float* y) override {
    return clock_.Time("norm", [&] { return CpuOps::RmsNorm(rows, h, x, weight, eps, y); });
  }
  Status Rope(const RopeArgs& args) override {
    return clock_.Time("rope", [&] { return CpuOps::Rope(args); });
  }
  Status Attention(const AttentionArgs& args) override {
    return clock_.Time("attention", [&] { return CpuOps::Attention(args); });
  }
  Status SwiGlu(int64_t n, const float* gate, const float* up, float* y) override {
    return clock_.Time("elementwise", [&] { return CpuOps::SwiGlu(n, gate, up, y); });
  }
  Status Add(int64_t n, const float* x, float* y) override {
    return clock_.Time("elementwise", [&] { return CpuOps::Add(n, x, y); });
  }
  Status Embed(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids, const void* table,
               DType type, float* y) override {
    return clock_.Time("embedding",
                       [&] { return CpuOps::Embed(rows, h, vocab, ids, table, type, y); });
  }
  Status CrossEntropy(int64_t rows, int64_t vocab, const float* logits, const int32_t* target,
                      float* nll) override {
    return clock_.Time("loss",
                       [&] { return CpuOps::CrossEntropy(rows, vocab, logits, target, nll); });
  }
  Status CastToF32(int64_t n, const void* x, DType type, float* y) override {
    return clock_.Time("conversion", [&] { return CpuOps::CastToF32(n, x, type, y); });
  }
  Status CastFromF32(int64_t n, const float* x, DType type, void* y) override {
    return clock_.Time("conversion", [&] { return CpuOps::CastFromF32(n, x, type, y); });
  }
  TrainOps& train() override { return train_; }
  NarrowOps* narrow() override { return &narrow_; }

 private:
  OpClock clock_;
  TimedTrain train_;
  TimedNarrow narrow_;
};

}  // namespace swage
