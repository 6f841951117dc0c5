#include "workers/job/self_test.h"

#include <cstring>
#include <vector>

#include "workers/runtime/buffer.h"

namespace swage {
namespace {

// Not multiples of any vector's width, so that the tails are exercised too.
constexpr int64_t kRows = 37, kColumns = 83, kDepth = 131;
constexpr int64_t kOut = 19, kIn = 256;

Status Differs(const char* what) {
  return DataLoss("SELF_TEST_FAILED", Cat("the self-test's ", what, " gave wrong values"),
                  "take the device out of service and test it and the machine's memory");
}

// Integers from -7 to 7: products and sums stay far below 2^24.
float Small(int64_t i) { return static_cast<float>((i * 7919 + 13) % 15 - 7); }

// Hands out one piece of memory after the other.
class Arena {
 public:
  explicit Arena(const SelfTestMemory& memory) : memory_(memory) {}
  template <typename T>
  T* Take(int64_t count) {
    char* begin = memory_.bytes + used_;
    used_ += (static_cast<size_t>(count) * sizeof(T) + 255) / 256 * 256;
    SWAGE_CHECK(used_ <= kSelfTestBytes, "the self-test needs more memory than it was given");
    return reinterpret_cast<T*>(begin);
  }
  Status Finish() const { return memory_.finish ? memory_.finish() : absl::OkStatus(); }

 private:
  const SelfTestMemory& memory_;
  size_t used_ = 0;
};

Status TestGemm(Ops* ops, Arena arena) {
  float* a = arena.Take<float>(kRows * kDepth);
  float* b = arena.Take<float>(kColumns * kDepth);
  float* c = arena.Take<float>(kRows * kColumns);
  for (int64_t i = 0; i < kRows * kDepth; ++i) a[i] = Small(i);
  for (int64_t i = 0; i < kColumns * kDepth; ++i) b[i] = Small(3 * i + 1);
  GemmArgs args;
  args.m = kRows;
  args.n = kColumns;
  args.k = kDepth;
  args.a = a;
  args.b = b;
  args.c = c;
  SWAGE_RETURN_IF_ERROR(ops->Gemm(args));
  SWAGE_RETURN_IF_ERROR(arena.Finish());
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t column = 0; column < kColumns; ++column) {
      float sum = 0;
      for (int64_t k = 0; k < kDepth; ++k) sum += a[row * kDepth + k] * b[column * kDepth + k];
      if (c[row * kColumns + column] != sum) return Differs("matrix product");
    }
  }
  return absl::OkStatus();
}

Status TestQuantize(Ops* ops, Arena arena, const std::string& format, int64_t group) {
  std::vector<int8_t> true_codes(kOut * kIn);
  std::vector<float> true_scales(kOut * kIn / group), true_values(kOut * kIn), true_weight(kOut * kIn);
  for (int64_t i = 0; i < kOut * kIn; ++i) true_weight[i] = Small(i) / 3 + Small(5 * i) / 11;
  QuantizeArgs args;
  args.out = kOut;
  args.in = kIn;
  args.group = group;
  args.format = format;
  args.w = true_weight.data();
  args.codes = true_codes.data();
  args.scales = true_scales.data();
  const std::unique_ptr<Ops> truth = NewRefOps();
  SWAGE_RETURN_IF_ERROR(truth->Quantize(args));
  SWAGE_RETURN_IF_ERROR(truth->Dequantize(args, true_values.data()));

  float* weight = arena.Take<float>(kOut * kIn);
  float* values = arena.Take<float>(kOut * kIn);
  std::memcpy(weight, true_weight.data(), kOut * kIn * sizeof(float));
  args.w = weight;
  args.codes = arena.Take<int8_t>(kOut * kIn);
  args.scales = arena.Take<float>(kOut * kIn / group);
  SWAGE_RETURN_IF_ERROR(ops->Quantize(args));
  SWAGE_RETURN_IF_ERROR(ops->Dequantize(args, values));
  SWAGE_RETURN_IF_ERROR(arena.Finish());
  const bool same = std::memcmp(args.codes, true_codes.data(), true_codes.size()) == 0 &&
                    std::memcmp(args.scales, true_scales.data(), true_scales.size() * sizeof(float)) == 0 &&
                    std::memcmp(values, true_values.data(), true_values.size() * sizeof(float)) == 0;
  return same ? absl::OkStatus() : Differs("quantization");
}

Status UnlessMissing(const Status& status) {
  return status.code() == StatusCode::kUnimplemented ? absl::OkStatus() : status;
}

}  // namespace

Status SelfTest(Ops* ops, const SelfTestMemory& memory) {
  SWAGE_RETURN_IF_ERROR(UnlessMissing(TestGemm(ops, Arena(memory))));
  SWAGE_RETURN_IF_ERROR(UnlessMissing(TestQuantize(ops, Arena(memory), "int4", 64)));
  return UnlessMissing(TestQuantize(ops, Arena(memory), "fp8_e4m3", kIn));
}

Status SelfTestCpu(Ops* ops) {
  Buffer<char> bytes(kSelfTestBytes + 256);
  const size_t off = reinterpret_cast<uintptr_t>(bytes.data()) % 256;
  return SelfTest(ops, {bytes.data() + (256 - off) % 256, nullptr});
}

}  // namespace swage
