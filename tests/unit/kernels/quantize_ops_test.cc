// Formats, packing and casts: every device gives the reference's bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "kernels/numeric/formats.h"
#include "tests/unit/kernels/op_test.h"
#include "tests/unit/kernels/random_values.h"

namespace swage {
namespace {

using QuantizeOpsTest = OpTest;

struct Case {
  int64_t out, in, group;
  bool per_tensor;
  int64_t block_rows = 1;
};

// Sizes: one, odd, unaligned to any vector, whole vectors with rests; blocks that do not divide.
const Case kCases[] = {{1, 1, 1, false},       {1, 1, 1, true},        {3, 7, 7, false},
                       {5, 33, 11, false},     {2, 129, 43, false},    {7, 256, 128, false},
                       {9, 96, 32, false},     {13, 67, 67, true},     {9, 512, 512, false},
                       {5, 80, 16, false},     {31, 320, 320, true},   {10, 50, 16, false, 4},
                       {37, 67, 32, false, 8}, {3, 5, 128, false, 128}};

// A format and how it is used.
struct Variant {
  const FormatRow* format = nullptr;
  bool symmetric = true, minima = false, weighted = false;
  ScaleRule rule = ScaleRule::kFormat;
  ScaleType scale_type = ScaleType::kFormat;
  int codebook_size = 0;
};

std::vector<Variant> VariantsOf(const FormatRow& row) {
  std::vector<Variant> variants;
  Variant plain;
  plain.format = &row;
  if (row.max_value == 0) {
    for (const int size : {2, 5, 16, 37, 256}) {
      variants.push_back(plain);
      variants.back().codebook_size = size;
    }
    return variants;
  }
  variants.push_back(plain);
  const auto add = [&](auto change) {
    variants.push_back(plain);
    change(variants.back());
  };
  add([](Variant& v) { v.rule = ScaleRule::kSearch; });
  if (row.scale_type == ScaleType::kF32) {
    add([](Variant& v) { v.scale_type = ScaleType::kF16; });
    add([](Variant& v) { v.scale_type = ScaleType::kBF16; });
  }
  if (row.scale_type == ScaleType::kE8M0) {
    add([](Variant& v) { v.rule = ScaleRule::kPowerFloor; });
    add([](Variant& v) { v.rule = ScaleRule::kPowerCeil; });
  }
  if (row.id == "ternary") {
    add([](Variant& v) { v.rule = ScaleRule::kAbsMax; });
  }
  if (row.has_asymmetric) {
    for (const bool minima : {false, true}) {
      plain.symmetric = false;
      plain.minima = minima;
      variants.push_back(plain);
      add([](Variant& v) {
        v.rule = ScaleRule::kSearch;
        v.weighted = true;
      });
    }
    add([](Variant& v) { v.scale_type = ScaleType::kF16; });
  }
  return variants;
}

bool Fits(const Case& shape, const Variant& v) {
  const FormatRow& row = *v.format;
  if (row.fixed_group == 0) return true;
  return !shape.per_tensor && shape.block_rows == 1 && shape.group == row.fixed_group;
}

std::string TextOf(const Case& shape, const Variant& v) {
  std::ostringstream text;
  text << v.format->id << " " << shape.out << "x" << shape.in << " group " << shape.group
       << " block " << shape.block_rows << " symmetric " << v.symmetric << " minima " << v.minima
       << " rule " << static_cast<int>(v.rule) << " scale type " << static_cast<int>(v.scale_type)
       << " codebook " << v.codebook_size;
  return text.str();
}

struct Quantized {
  std::vector<int8_t> codes, zeros;
  std::vector<float> scales, minima, global, values;
};

class Runner {
 public:
  Runner(const Case& shape, const Variant& v) {
    args_.out = shape.out;
    args_.in = shape.in;
    args_.group = shape.group;
    args_.per_tensor = shape.per_tensor;
    args_.block_rows = shape.block_rows;
    args_.format = v.format->id;
    args_.symmetric = v.symmetric;
    args_.rule = v.rule;
    args_.scale_type = v.scale_type;
    args_.search_steps = 5;
    minima_ = v.minima;
    weighted_ = v.weighted;
    codebook_ = Gaussians(v.codebook_size, 5);
    std::sort(codebook_.begin(), codebook_.end());
    args_.codebook_size = v.codebook_size;
    for (const float x : codebook_) args_.codebook_max = std::max(args_.codebook_max, std::fabs(x));
    scales_ = shape.per_tensor ? 1
                               : (shape.out + shape.block_rows - 1) / shape.block_rows *
                                     ((shape.in + shape.group - 1) / shape.group);
  }
  Runner(const Case& shape, std::string_view format) : Runner(shape, Variant{FindFormat(format)}) {}

  // With `codes_only`, the scales of `result` are given and its codes are made anew.
  Status Run(Ops* ops, TestDevice* device, bool shifted, const std::vector<float>& w,
             Quantized* result, bool codes_only = false) {
    DeviceArray<float> in(device, w, shifted), values(device, w.size(), shifted),
        scales(device, scales_, shifted), minima(device, scales_, shifted),
        global(device, 1, shifted), importance(device, Weights(), shifted),
        codebook(device, codebook_, shifted);
    DeviceArray<int8_t> codes(device, w.size(), shifted), zeros(device, scales_, shifted);
    args_.w = in.data();
    args_.codes = codes.data();
    args_.scales = scales.data();
    args_.zeros = args_.symmetric || minima_ ? nullptr : zeros.data();
    args_.minima = minima_ ? minima.data() : nullptr;
    args_.global_scale = global.data();
    args_.importance = weighted_ ? importance.data() : nullptr;
    args_.codebook = codebook_.empty() ? nullptr : codebook.data();
    args_.given_scales = codes_only;
    if (codes_only) {
      device->Write(scales.data(), result->scales.data(), scales_ * sizeof(float));
      device->Write(minima.data(), result->minima.data(), scales_ * sizeof(float));
      device->Write(zeros.data(), result->zeros.data(), scales_);
      device->Write(global.data(), result->global.data(), sizeof(float));
    } else {
      device->Write(global.data(), std::vector<float>{0}.data(), sizeof(float));
      device->Write(minima.data(), std::vector<float>(scales_).data(), scales_ * sizeof(float));
      device->Write(zeros.data(), std::vector<int8_t>(scales_).data(), scales_);
    }
    SWAGE_RETURN_IF_ERROR(ops->Quantize(args_));
    SWAGE_RETURN_IF_ERROR(ops->Dequantize(args_, values.data()));
    *result = {codes.Get(), zeros.Get(), scales.Get(), minima.Get(), global.Get(), values.Get()};
    return Status();
  }

 private:
  std::vector<float> Weights() const {
    std::vector<float> weights(args_.in);
    for (int64_t i = 0; i < args_.in; ++i) weights[i] = static_cast<float>(i % 7) * 0.5f;
    return weights;
  }

  QuantizeArgs args_;
  bool minima_ = false, weighted_ = false;
  std::vector<float> codebook_;
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
    if (bytes > 0) std::memcpy(device, host, bytes);
  }
  void Read(void* host, const void* device, size_t bytes) override {
    if (bytes > 0) std::memcpy(host, device, bytes);
  }
};

// The sign and payload of a NaN (a scale that overflowed makes 0 * inf) are nobody's promise.
void ForgetNan(std::vector<float>* values) {
  for (float& x : *values) x = std::isnan(x) ? 0.0f : x;
}

void ExpectSame(Quantized got, Quantized want) {
  ExpectSameBytes(got.scales, want.scales);
  ExpectSameBytes(got.zeros, want.zeros);
  ExpectSameBytes(got.minima, want.minima);
  ExpectSameBytes(got.global, want.global);
  ExpectSameBytes(got.codes, want.codes);
  ForgetNan(&got.values);
  ForgetNan(&want.values);
  ExpectSameBytes(got.values, want.values);
}

TEST_P(QuantizeOpsTest, QuantizeAndDequantizeGiveTheReferencesBytes) {
  HostMemory host;
  for (const FormatRow& format : Formats()) {
    for (const Variant& variant : VariantsOf(format)) {
      for (const Case& shape : kCases) {
        if (!Fits(shape, variant)) continue;
        for (const bool plain : {true, false}) {
          SCOPED_TRACE(TextOf(shape, variant) + (plain ? " plain" : " any"));
          const int64_t n = shape.out * shape.in;
          std::vector<float> w = plain ? Gaussians(n, n) : AnyFiniteFloats(n, n);
          if (plain) std::fill_n(w.begin(), std::min(n, shape.group), 0.0f);  // a group of zeros
          Runner runner(shape, variant);
          Quantized want, got;
          ASSERT_TRUE(runner.Run(ref(), &host, false, w, &want).ok());
          RUN_OP(runner.Run(ops(), device(), shifted(), w, &got));
          ExpectSame(got, want);
          got.codes.clear();
          RUN_OP(runner.Run(ops(), device(), shifted(), w, &got, /*codes_only=*/true));
          ExpectSame(got, want);
        }
      }
    }
  }
}

// Rows do not depend on each other in groups: the reference on some of them says all.
TEST_P(QuantizeOpsTest, LargeMatricesAreTheReferencesOnSampledRows) {
  HostMemory host;
  const int64_t out = 301, in = 4096;
  const std::vector<float> w = Gaussians(out * in, 9);
  for (const char* id : {"int3", "fp8_e5m2", "mxfp4", "nf4", "ternary", "fp4_ue5m3"}) {
    SCOPED_TRACE(id);
    const int64_t fixed = FindFormat(id)->fixed_group, group = fixed > 0 ? fixed : 128;
    Quantized all;
    RUN_OP(Runner({out, in, group, false}, id).Run(ops(), device(), shifted(), w, &all));
    for (const int64_t row : {int64_t{0}, int64_t{150}, out - 1}) {
      Quantized want;
      const std::vector<float> one(w.begin() + row * in, w.begin() + (row + 1) * in);
      ASSERT_TRUE(Runner({1, in, group, false}, id).Run(ref(), &host, false, one, &want).ok());
      const int64_t across = in / group;
      ExpectSameBytes(
          std::vector<int8_t>(all.codes.begin() + row * in, all.codes.begin() + (row + 1) * in),
          want.codes);
      ExpectSameBytes(std::vector<float>(all.scales.begin() + row * across,
                                         all.scales.begin() + (row + 1) * across),
                      want.scales);
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
    for (const char* format : {"int8", "int4", "fp8_e4m3", "fp8_e5m2", "mxfp4", "nvfp4", "nf4"}) {
      SCOPED_TRACE(testing::Message() << format << " " << size);
      const int64_t fixed = FindFormat(format)->fixed_group;
      Runner runner({rows, n, fixed > 0 ? fixed : n, false}, format);
      Quantized want, got;
      ASSERT_TRUE(runner.Run(ref(), &host, false, w, &want).ok());
      RUN_OP(runner.Run(ops(), device(), shifted(), w, &got));
      ExpectSameBytes(got.codes, want.codes);
    }
  }
}

TEST_P(QuantizeOpsTest, FakeQuantizeGivesTheReferencesBytes) {
  for (const FormatRow& format : Formats()) {
    if (format.max_value == 0) continue;
    for (const auto& [rows, n] :
         {std::pair<int64_t, int64_t>{1, 1}, {3, 37}, {17, 256}, {2, 992}}) {
      for (const int64_t group : {n, int64_t{16}, int64_t{32}}) {
        if (n % group != 0 || (format.fixed_group != 0 && group != format.fixed_group)) continue;
        for (const bool fixed : {false, true}) {
          if (fixed && format.scale_type != ScaleType::kF32) continue;
          SCOPED_TRACE(testing::Message() << format.id << " " << rows << "x" << n << " " << group);
          std::vector<float> want = Gaussians(rows * n, n, 3.0f);
          std::fill_n(want.begin(), n, 0.0f);  // a row of zeros stays zero
          DeviceArray<float> x = On(want);
          FakeQuantizeArgs args;
          args.rows = rows;
          args.n = n;
          args.group = group;
          args.format = format.id;
          args.global_scale = format.scale_type == ScaleType::kE4M3 ? 200.0f : 0.0f;
          args.static_scale = fixed ? 0.05f : 0.0f;
          args.x = want.data();
          ASSERT_TRUE(ref()->FakeQuantize(args).ok());
          args.x = x.data();
          RUN_OP(ops()->FakeQuantize(args));
          ExpectSameBytes(x.Get(), want);
        }
      }
    }
  }
}

TEST_P(QuantizeOpsTest, FakeQuantizeRowsTakesEachRowOrTheFormatsGroups) {
  for (const char* format : {"int8", "fp8_e4m3", "fp8_e4m3/32", "mxfp4", "mxfp8"}) {
    SCOPED_TRACE(format);
    const int64_t rows = 5, n = 96;
    std::vector<float> want = Gaussians(rows * n, 3);
    DeviceArray<float> x = On(want);
    FakeQuantizeArgs args;
    args.rows = rows;
    args.n = n;
    const std::string_view id = std::string_view(format).substr(0, 8);
    args.group = id.substr(0, 2) == "mx" || id != format ? 32 : n;
    args.format = id;
    args.x = want.data();
    ASSERT_TRUE(ref()->FakeQuantize(args).ok());
    RUN_OP(ops()->FakeQuantizeRows(rows, n, format, x.data()));
    ExpectSameBytes(x.Get(), want);
  }
}

TEST_P(QuantizeOpsTest, PackedRowsAreTheReferencesAndUnpackToTheCodes) {
  for (int bits = 1; bits <= 8; ++bits) {
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

TEST_P(QuantizeOpsTest, EveryPackingGivesTheReferencesBytesAndUnpacksToTheCodes) {
  for (const CodePacking packing : {CodePacking::kWords, CodePacking::kBits, CodePacking::kTrits}) {
    for (int bits = packing == CodePacking::kTrits ? 8 : 1; bits <= 8; ++bits) {
      for (const int64_t n : {1, 4, 5, 9, 16, 37, 128, 333, 4096}) {
        SCOPED_TRACE(testing::Message()
                     << static_cast<int>(packing) << " " << bits << " bits, " << n << " codes");
        PackArgs args{3, n, packing, bits};
        std::vector<int8_t> codes = Codes(args.rows * n, bits, n);
        for (int8_t& code : codes) {
          if (packing == CodePacking::kTrits)
            code = static_cast<int8_t>(static_cast<uint8_t>(code) % 3 - 1);
          if (packing == CodePacking::kBits) code = static_cast<int8_t>(code & ((1 << bits) - 1));
        }
        std::vector<uint8_t> want(args.rows * PackedRowBytes(packing, bits, n));
        ASSERT_TRUE(ref()->PackCodes(args, codes.data(), want.data()).ok());
        DeviceArray<int8_t> in = On(codes), back = Space<int8_t>(args.rows * n);
        DeviceArray<uint8_t> bytes = On(std::vector<uint8_t>(want.size(), 0xaa));
        RUN_OP(ops()->PackCodes(args, in.data(), bytes.data()));
        ExpectSameBytes(bytes.Get(), want);
        RUN_OP(ops()->UnpackCodes(args, bytes.data(), back.data()));
        ExpectSameBytes(back.Get(), codes);
      }
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
  for (const auto& [format, group] : {std::pair<const char*, int64_t>{"mxfp4", 16},
                                      {"nvfp4", 32},
                                      {"nvfp4", 16},
                                      {"codebook", 16}}) {
    args.format = format;  // groups of the wrong size; no global scale; no codebook
    args.group = group;
    EXPECT_EQ(ops()->Quantize(args).code(), StatusCode::kInvalidArgument) << format;
  }
  args.format = "mxfp8";
  args.group = 16;
  args.per_tensor = true;
  EXPECT_EQ(ops()->Quantize(args).code(), StatusCode::kInvalidArgument);
  args.per_tensor = false;
  args.format = "int4";
  args.rule = ScaleRule::kFourOverSix;
  EXPECT_EQ(ops()->Quantize(args).code(), StatusCode::kInvalidArgument);
  args.rule = ScaleRule::kSearch;
  args.search_steps = 101;
  EXPECT_EQ(ops()->Quantize(args).code(), StatusCode::kInvalidArgument);
  args.rule = ScaleRule::kFormat;
  args.scale_type = ScaleType::kE8M0;
  EXPECT_EQ(ops()->Quantize(args).code(), StatusCode::kInvalidArgument);
  for (const char* format : {"nvfp4", "fp8_e4m3/", "fp8_e4m3/5", "fp8_e4m3/-4", "fp8_e4m3/4x"}) {
    EXPECT_EQ(ops()->FakeQuantizeRows(1, 16, format, w.data()).code(), StatusCode::kInvalidArgument)
        << format;
  }
  EXPECT_EQ(ops()->PackRows(1, 4, 9, codes.data(), nullptr).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ops()->CastToF32(1, codes.data(), DType::kI64, w.data()).code(),
            StatusCode::kUnimplemented);
}

INSTANTIATE_ON_DEVICES(QuantizeOpsTest);

}  // namespace
}  // namespace swage
