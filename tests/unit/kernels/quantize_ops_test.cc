// Formats, packing and casts: every device gives the reference's bytes.
#include <gtest/gtest.h>

#include "kernels/numeric/fp8_e4m3.h"
#include "kernels/numeric/formats.h"
#include "kernels/numeric/int_quant.h"
#include "tests/unit/kernels/op_test.h"
#include "tests/unit/kernels/random_values.h"

namespace swage {
namespace {

using QuantizeOpsTest = OpTest;

struct Case {
  int64_t out, in, group;
  bool per_tensor;
};

// Sizes: one, odd, unaligned to any vector, whole vectors with rests.
const Case kCases[] = {{1, 1, 1, false},      {1, 1, 1, true},     {3, 7, 7, false},
                       {5, 33, 11, false},    {2, 129, 43, false}, {7, 256, 128, false},
                       {9, 96, 32, false},    {13, 67, 67, true},  {33, 512, 512, false},
                       {64, 768, 128, false}, {31, 320, 320, true}};

struct Quantized {
  std::vector<int8_t> codes, zeros;
  std::vector<float> scales, values;
};

class Runner {
 public:
  Runner(const Case& shape, std::string_view format, bool symmetric) {
    args_.out = shape.out;
    args_.in = shape.in;
    args_.group = shape.group;
    args_.per_tensor = shape.per_tensor;
    args_.format = format;
    args_.symmetric = symmetric;
    scales_ = shape.per_tensor ? 1 : shape.out * shape.in / shape.group;
  }

  Status Run(Ops* ops, TestDevice* device, bool shifted, const std::vector<float>& w,
             Quantized* result) {
    DeviceArray<float> in(device, w, shifted), values(device, w.size(), shifted),
        scales(device, scales_, shifted);
    DeviceArray<int8_t> codes(device, w.size(), shifted), zeros(device, scales_, shifted);
    args_.w = in.data();
    args_.codes = codes.data();
    args_.scales = scales.data();
    args_.zeros = args_.symmetric ? nullptr : zeros.data();
    SWAGE_RETURN_IF_ERROR(ops->Quantize(args_));
    SWAGE_RETURN_IF_ERROR(ops->Dequantize(args_, values.data()));
    *result = {codes.Get(), args_.symmetric ? std::vector<int8_t>() : zeros.Get(), scales.Get(),
               values.Get()};
    return Status();
  }

 private:
  QuantizeArgs args_;
  int64_t scales_;
};

// The reference runs in host memory.
class HostMemory : public TestDevice {
 public:
  std::string Name() const override { return "host"; }
  Ops* ops() override { return nullptr; }
  void* Allocate(size_t bytes) override { return ::operator new(bytes); }
  void Free(void* pointer) override { ::operator delete(pointer); }
  void Write(void* device, const void* host, size_t bytes) override {
    std::memcpy(device, host, bytes);
  }
  void Read(void* host, const void* device, size_t bytes) override {
    std::memcpy(host, device, bytes);
  }
};

TEST_P(QuantizeOpsTest, QuantizeAndDequantizeGiveTheReferencesBytes) {
  HostMemory host;
  for (const FormatRow& format : Formats()) {
    for (const Case& shape : kCases) {
      if (format.kind == FormatKind::kFloat && shape.group != shape.in && !shape.per_tensor)
        continue;
      for (const bool symmetric : {true, false}) {
        if (!symmetric && !format.has_asymmetric) continue;
        for (const bool plain : {true, false}) {
          SCOPED_TRACE(testing::Message()
                       << format.id << " " << shape.out << "x" << shape.in << " group "
                       << shape.group << " symmetric " << symmetric << " plain " << plain);
          const int64_t n = shape.out * shape.in;
          const std::vector<float> w = plain ? Gaussians(n, n) : AnyFiniteFloats(n, n);
          Runner runner(shape, format.id, symmetric);
          Quantized want, got;
          ASSERT_TRUE(runner.Run(ref(), &host, false, w, &want).ok());
          RUN_OP(runner.Run(ops(), device(), shifted(), w, &got));
          ExpectSameBytes(got.codes, want.codes);
          ExpectSameBytes(got.zeros, want.zeros);
          ExpectSameBytes(got.scales, want.scales);
          // A scale that overflowed makes 0 * inf; the sign of that NaN is nobody's promise.
          for (float& x : want.values) x = std::isnan(x) ? 0.0f : x;
          for (float& x : got.values) x = std::isnan(x) ? 0.0f : x;
          ExpectSameBytes(got.values, want.values);
        }
      }
    }
  }
}

// Quotients next to ties: a device that divides in any other way than IEEE 754 is found out here.
TEST_P(QuantizeOpsTest, CodesNearTiesAreTheReferences) {
  HostMemory host;
  const int64_t rows = 24, n = 4096;
  for (const float size : {1.0f, 0.01f, 60.0f, 65.0f, 1e-16f, 1e-17f, 1e20f}) {
    std::vector<float> w = Gaussians(rows * n, 77);
    for (int64_t i = 0; i < rows * n; ++i) {
      w[i] *= size / 4;
      if (i % n == 0) w[i] = size * (1 + static_cast<float>(i / n) * 0.01f);  // the row's largest
      if (i % 3 == 1) {  // as close to a tie of int8 as f32 allows, on a random side
        const float scale = size * (1 + static_cast<float>(i / n) * 0.01f) / 127.5f;
        const float tie = (static_cast<float>(i % 250) - 125 + 0.5f) * scale;
        w[i] = i % 2 == 0 ? std::nextafter(tie, 1e30f) : tie;
      }
    }
    for (const char* format : {"int8", "int4", "fp8_e4m3"}) {
      SCOPED_TRACE(testing::Message() << format << " " << size);
      Runner runner({rows, n, n, false}, format, true);
      Quantized want, got;
      ASSERT_TRUE(runner.Run(ref(), &host, false, w, &want).ok());
      RUN_OP(runner.Run(ops(), device(), shifted(), w, &got));
      ExpectSameBytes(got.codes, want.codes);
    }
  }
}

TEST_P(QuantizeOpsTest, FakeQuantizeRowsGivesTheReferencesBytes) {
  for (const FormatRow& format : Formats()) {
    for (const auto& [rows, n] :
         {std::pair<int64_t, int64_t>{1, 1}, {3, 37}, {17, 256}, {2, 1000}}) {
      SCOPED_TRACE(testing::Message() << format.id << " " << rows << "x" << n);
      std::vector<float> want = Gaussians(rows * n, n, 3.0f);
      std::fill_n(want.begin(), n, 0.0f);  // a row of zeros stays zero
      DeviceArray<float> x = On(want);
      ASSERT_TRUE(ref()->FakeQuantizeRows(rows, n, std::string(format.id), want.data()).ok());
      RUN_OP(ops()->FakeQuantizeRows(rows, n, std::string(format.id), x.data()));
      ExpectSameBytes(x.Get(), want);
    }
  }
}

TEST_P(QuantizeOpsTest, PackedRowsAreTheReferencesAndUnpackToTheCodes) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (const int64_t n : {1, 7, 8, 31, 32, 33, 64, 100, 128, 255, 512, 1001, 20003}) {
      SCOPED_TRACE(testing::Message() << bits << " bits, " << n << " codes");
      const int64_t rows = 3, width = PackedWords(n, bits);
      const std::vector<int8_t> codes = Codes(rows * n, bits, n);
      std::vector<int32_t> want(rows * width);
      ASSERT_TRUE(ref()->PackRows(rows, n, bits, codes.data(), want.data()).ok());
      DeviceArray<int8_t> in = On(codes), back = Space<int8_t>(rows * n);
      DeviceArray<int32_t> words = On(std::vector<int32_t>(rows * width, -1));
      RUN_OP(ops()->PackRows(rows, n, bits, in.data(), words.data()));
      ExpectSameBytes(words.Get(), want);
      RUN_OP(ops()->UnpackRows(rows, n, bits, words.data(), back.data()));
      ExpectSameBytes(back.Get(), codes);
    }
  }
}

TEST_P(QuantizeOpsTest, CastsGiveTheReferencesBytes) {
  for (const int64_t n : {0, 1, 5, 16, 63, 64, 65, 1000, 50021}) {
    std::vector<float> x = AnyFiniteFloats(n, n + 1);
    for (int64_t i = 3; i < n; i += 11)
      x[i] = static_cast<float>(i % 64) * 0.0078125f;  // many ties in fp8 and f16
    for (int64_t i = 5; i < n; i += 50) x[i] = i % 4 == 0 ? INFINITY : -INFINITY;
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3}) {
      SCOPED_TRACE(testing::Message() << DTypeName(type) << " " << n);
      const int64_t bytes = n * static_cast<int64_t>(DTypeBytes(type));
      std::vector<uint8_t> want(bytes);
      std::vector<float> want_back(n);
      ASSERT_TRUE(ref()->CastFromF32(n, x.data(), type, want.data()).ok());
      ASSERT_TRUE(ref()->CastToF32(n, want.data(), type, want_back.data()).ok());
      DeviceArray<float> in = On(x), back = Space<float>(n);
      DeviceArray<uint8_t> out(device(), bytes);
      RUN_OP(ops()->CastFromF32(n, in.data(), type, out.data()));
      ExpectSameBytes(out.Get(), want);
      RUN_OP(ops()->CastToF32(n, out.data(), type, back.data()));
      ExpectSameBytes(back.Get(), want_back);
    }
  }
}

TEST_P(QuantizeOpsTest, NarrowTypesWidenTheSameWayForEveryPattern) {
  std::vector<uint16_t> halves(1 << 16);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  DeviceArray<uint16_t> in = On(halves);
  for (const DType type : {DType::kF16, DType::kBF16}) {
    std::vector<float> want(halves.size());
    DeviceArray<float> out = Space<float>(halves.size());
    ASSERT_TRUE(ref()->CastToF32(halves.size(), halves.data(), type, want.data()).ok());
    RUN_OP(ops()->CastToF32(halves.size(), in.data(), type, out.data()));
    const std::vector<float> got = out.Get();
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_TRUE(BitsOf(got[i]) == BitsOf(want[i]) || (std::isnan(got[i]) && std::isnan(want[i])))
          << i;
    }
  }
}

TEST_P(QuantizeOpsTest, ArgumentsThatDoNotFitAreRefused) {
  std::vector<float> w(64), scales(64);
  std::vector<int8_t> codes(64);
  QuantizeArgs args;
  args.out = 4;
  args.in = 16;
  args.w = w.data();
  args.codes = codes.data();
  args.scales = scales.data();
  args.format = "int4";
  args.group = 5;  // does not divide 16
  EXPECT_EQ(ops()->Quantize(args).code(), StatusCode::kInvalidArgument);
  args.group = 0;
  EXPECT_EQ(ops()->Quantize(args).code(), StatusCode::kInvalidArgument);
  args.group = 16;
  args.symmetric = false;  // no zeros
  EXPECT_EQ(ops()->Quantize(args).code(), StatusCode::kInvalidArgument);
  args.symmetric = true;
  args.format = "int9";
  EXPECT_EQ(ops()->Quantize(args).code(), StatusCode::kInvalidArgument);
  args.format = "fp8_e4m3";
  args.group = 4;  // fp8 has no groups
  EXPECT_EQ(ops()->Quantize(args).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ops()->PackRows(1, 4, 9, codes.data(), nullptr).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ops()->CastToF32(1, codes.data(), DType::kI64, w.data()).code(),
            StatusCode::kUnimplemented);
}

INSTANTIATE_ON_DEVICES(QuantizeOpsTest);

}  // namespace
}  // namespace swage
