// Byte equality with compressed-tensors (tests/golden/rtn/rtn_golden.py): codes, scales, zero
// points and packed words of small matrices full of corner cases, and of every linear of the sample
// model.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/digest.h"
#include "base/env.h"
#include "base/modelfile/safetensors.h"
#include "kernels/api/ops.h"
#include "kernels/numeric/formats.h"

namespace swage {
namespace {

using Json = nlohmann::json;

const Json& Golden() {
  static const auto* const golden = [] {
    std::ifstream file("tests/golden/rtn/rtn_golden.json");
    std::stringstream text;
    text << file.rdbuf();
    return new Json(Json::parse(text.str()));
  }();
  return *golden;
}

std::vector<float> MatrixOf(const Json& json) {
  std::vector<float> values;
  for (const Json& bits : json["bits"]) values.push_back(FloatOf(bits.get<uint32_t>()));
  return values;
}

template <typename T>
std::string HexOf(const std::vector<T>& values) {
  return HexLower(values.data(), values.size() * sizeof(T));
}

struct Stored {
  std::vector<int8_t> codes, zeros;
  std::vector<float> scales;
  float global = 0;
};

struct Scheme {
  std::string format, strategy;
  int64_t group = 0;
  bool symmetric = true;
  bool packed = false;  // in 32-bit words
  int64_t block_rows = 1;
};

// With `given_global` > 0 that global scale is taken.
Stored QuantizeWith(Ops* ops, const std::vector<float>& w, int64_t rows, int64_t columns,
                    const Scheme& scheme, float given_global = 0) {
  QuantizeArgs args;
  args.out = rows;
  args.in = columns;
  const bool grouped = scheme.strategy != "channel" && scheme.strategy != "tensor";
  args.group = grouped ? scheme.group : columns;
  args.block_rows = scheme.strategy == "block" ? scheme.block_rows : 1;
  args.per_tensor = scheme.strategy == "tensor";
  args.format = scheme.format;
  args.symmetric = scheme.symmetric;
  Stored stored;
  stored.codes.resize(w.size());
  const int64_t across = (columns + args.group - 1) / args.group;
  const int64_t down = (rows + args.block_rows - 1) / args.block_rows;
  stored.scales.resize(args.per_tensor ? 1 : across * down);
  stored.zeros.resize(scheme.symmetric ? 0 : stored.scales.size());
  stored.global = given_global;
  args.w = w.data();
  args.codes = stored.codes.data();
  args.scales = stored.scales.data();
  args.zeros = scheme.symmetric ? nullptr : stored.zeros.data();
  args.global_scale = &stored.global;
  args.given_global = given_global > 0;
  EXPECT_TRUE(ops->Quantize(args).ok());
  return stored;
}

bool IsFp4(const Scheme& scheme) { return FindFormat(scheme.format)->kind == CodeKind::kFp4; }

// Codes as stored when not in 32-bit words: a byte each, fp4 two to a byte.
std::vector<uint8_t> StoredCodes(Ops* ops, const Scheme& scheme, int64_t rows, int64_t columns,
                                 const std::vector<int8_t>& codes) {
  if (!IsFp4(scheme)) return std::vector<uint8_t>(codes.begin(), codes.end());
  std::vector<uint8_t> bytes(rows * PackedRowBytes(CodePacking::kBits, 4, columns));
  EXPECT_TRUE(
      ops->PackCodes({rows, columns, CodePacking::kBits, 4}, codes.data(), bytes.data()).ok());
  return bytes;
}

std::vector<uint8_t> StoredScales(const Scheme& scheme, const std::vector<float>& scales) {
  const ScaleType type = FindFormat(scheme.format)->scale_type;
  std::vector<uint8_t> bytes(scales.size() * (type == ScaleType::kF32 ? sizeof(float) : 1));
  if (type == ScaleType::kF32) std::memcpy(bytes.data(), scales.data(), bytes.size());
  for (size_t i = 0; i < scales.size() && type != ScaleType::kF32; ++i) {
    bytes[i] = type == ScaleType::kE8M0 ? E8M0Byte(scales[i]) : EncodeFp8(scales[i]);
  }
  return bytes;
}

std::vector<int32_t> Packed(Ops* ops, int64_t rows, int64_t columns, int bits,
                            const std::vector<int8_t>& codes) {
  std::vector<int32_t> words(rows * PackedWords(columns, bits));
  EXPECT_TRUE(ops->PackRows(rows, columns, bits, codes.data(), words.data()).ok());
  return words;
}

class GoldenTest : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Ops> ops_ = std::string_view(GetParam()) == "ref" ? NewRefOps() : NewCpuOps(2);
};

TEST_P(GoldenTest, SmallMatricesAreByteEqualToCompressedTensors) {
  int cases = 0;
  for (const Json& item : Golden()["cases"]) {
    const Json& matrix = Golden()["matrices"][item["matrix"].get<std::string>()];
    const int64_t rows = matrix["rows"], columns = matrix["columns"];
    const std::string format = item["format"], strategy = item["strategy"];
    const bool symmetric = item["symmetric"];
    SCOPED_TRACE(testing::Message() << item["matrix"] << " " << format << " " << strategy
                                    << " symmetric " << symmetric);
    const Scheme scheme{format, strategy, item["group"], symmetric, false, 4};
    const Stored stored = QuantizeWith(ops_.get(), MatrixOf(matrix), rows, columns, scheme);
    EXPECT_EQ(HexOf(StoredCodes(ops_.get(), scheme, rows, columns, stored.codes)),
              item["codes"].get<std::string>());
    ++cases;
    if (item.contains("stored_scales")) {
      EXPECT_EQ(HexOf(StoredScales(scheme, stored.scales)),
                item["stored_scales"].get<std::string>());
      if (item.contains("global")) {
        EXPECT_EQ(BitsOf(stored.global), item["global"].get<uint32_t>());
      }
      continue;
    }
    ASSERT_EQ(stored.scales.size(), item["scales"].size());
    for (size_t i = 0; i < stored.scales.size(); ++i) {
      EXPECT_EQ(BitsOf(stored.scales[i]), item["scales"][i].get<uint32_t>()) << "scale " << i;
      if (symmetric) continue;
      EXPECT_EQ(stored.zeros[i], item["zeros"][i].get<int>()) << "zero point " << i;
    }
    if (item.contains("packed")) {
      const int bits = format[3] - '0';
      EXPECT_EQ(HexOf(Packed(ops_.get(), rows, columns, bits, stored.codes)),
                item["packed"].get<std::string>());
    }
  }
  EXPECT_EQ(cases, 140);
}

const std::map<std::string, Scheme>& Schemes() {
  static const auto* const schemes =
      new std::map<std::string, Scheme>{{"W2A16", {"int2", "group", 128, true, true}},
                                        {"W3A16", {"int3", "group", 128, true, true}},
                                        {"W4A16", {"int4", "group", 128, true, true}},
                                        {"W8A16", {"int8", "group", 128, true, true}},
                                        {"W4A16_ASYM", {"int4", "group", 128, false, true}},
                                        {"W4A8", {"int4", "group", 128}},
                                        {"W4AFP8", {"int4", "group", 128}},
                                        {"W8A8", {"int8", "channel"}},
                                        {"FP8_DYNAMIC", {"fp8_e4m3", "channel"}},
                                        {"FP8", {"fp8_e4m3", "tensor"}},
                                        {"FP8_BLOCK", {"fp8_e4m3", "block", 128, true, false, 128}},
                                        {"MXFP8A16", {"mxfp8", "group", 32}},
                                        {"MXFP4", {"mxfp4", "group", 32}},
                                        {"MXFP4A16", {"mxfp4", "group", 32}},
                                        {"NVFP4A16", {"nvfp4", "tensor_group", 16}},
                                        {"NVFP4", {"nvfp4", "tensor_group", 16}}};
  return *schemes;
}

template <typename T>
std::string Sha(const std::vector<T>& values) {
  return Sha256Of({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)}).Hex();
}

// Zero points [rows, groups] packed along the rows: [ceil(rows * bits / 32), groups].
std::vector<int32_t> PackedZeros(Ops* ops, const std::vector<int8_t>& zeros, int64_t rows,
                                 int bits) {
  const int64_t groups = static_cast<int64_t>(zeros.size()) / rows, words = PackedWords(rows, bits);
  std::vector<int8_t> turned(zeros.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < groups; ++g) turned[g * rows + r] = zeros[r * groups + g];
  }
  const std::vector<int32_t> packed = Packed(ops, groups, rows, bits, turned);
  std::vector<int32_t> result(packed.size());
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t w = 0; w < words; ++w) result[w * groups + g] = packed[g * words + w];
  }
  return result;
}

struct SampleLinear {
  std::string module;  // with the final dot
  int64_t rows = 0, columns = 0;
  std::vector<float> w;
};

// Linears that read the same input share the global scale of their largest weight.
float FusedGlobal(Ops* ops, const Scheme& scheme, const std::vector<SampleLinear>& linears,
                  const std::string& module) {
  const auto shard_of = [](const std::string& name) {
    for (const char* shard : {"q_proj.", "k_proj.", "v_proj."}) {
      if (EndsWith(name, shard)) return name.substr(0, name.size() - 7) + "qkv";
    }
    for (const char* shard : {"gate_proj.", "up_proj."}) {
      if (EndsWith(name, shard)) return name.substr(0, name.rfind("mlp.")) + "gate_up";
    }
    return name;
  };
  float least = INFINITY;
  for (const SampleLinear& l : linears) {
    if (shard_of(l.module) != shard_of(module)) continue;
    least = std::min(least, QuantizeWith(ops, l.w, l.rows, l.columns, scheme).global);
  }
  return least;
}

// Digests of the tensors that the scheme stores for one linear, by suffix.
std::map<std::string, std::string> Digests(Ops* ops, const Scheme& scheme,
                                           const std::vector<SampleLinear>& linears,
                                           const SampleLinear& linear) {
  std::map<std::string, std::string> digests;
  float global = 0;
  if (scheme.strategy == "tensor_group") {
    global = FusedGlobal(ops, scheme, linears, linear.module);
    digests["weight_global_scale"] = Sha(std::vector<float>{global});
  }
  const Stored stored = QuantizeWith(ops, linear.w, linear.rows, linear.columns, scheme, global);
  const int bits = FindFormat(scheme.format)->bits;
  digests["weight_scale"] = Sha(StoredScales(scheme, stored.scales));
  if (scheme.packed) {
    digests["weight_packed"] = Sha(Packed(ops, linear.rows, linear.columns, bits, stored.codes));
  } else {
    digests[IsFp4(scheme) ? "weight_packed" : "weight"] =
        Sha(StoredCodes(ops, scheme, linear.rows, linear.columns, stored.codes));
  }
  if (!scheme.symmetric)
    digests["weight_zero_point"] = Sha(PackedZeros(ops, stored.zeros, linear.rows, bits));
  return digests;
}

std::vector<SampleLinear> SampleLinears(Ops* ops, const ModelFiles& files) {
  std::vector<SampleLinear> linears;
  for (const std::string& name : files.Names()) {
    if (!EndsWith(name, "_proj.weight")) continue;
    const TensorView view = *files.Find(name);
    SampleLinear linear{name.substr(0, name.size() - std::strlen("weight")),
                        view.info->shape[0],
                        view.info->shape[1],
                        {}};
    std::vector<uint16_t> halves(linear.rows * linear.columns);
    std::memcpy(halves.data(), view.bytes.data(), view.bytes.size());
    linear.w.resize(halves.size());
    EXPECT_TRUE(ops->CastToF32(static_cast<int64_t>(halves.size()), halves.data(), DType::kBF16,
                               linear.w.data())
                    .ok());
    linears.push_back(std::move(linear));
  }
  return linears;
}

TEST_P(GoldenTest, EveryLinearOfTheSampleModelIsByteEqualToCompressedTensors) {
  const StatusOr<ModelFiles> files =
      ModelFiles::Open(Env::Posix(), "tests/data/models/classics-6m");
  ASSERT_TRUE(files.ok()) << MessageOf(files.status());
  const std::vector<SampleLinear> linears = SampleLinears(ops_.get(), *files);
  int compared = 0;
  for (const SampleLinear& linear : linears) {
    for (const auto& [id, scheme] : Schemes()) {
      const Json& want = Golden()["model"][id];
      for (const auto& [suffix, digest] : Digests(ops_.get(), scheme, linears, linear)) {
        EXPECT_EQ(digest, want[linear.module + suffix].get<std::string>())
            << id << " " << linear.module << suffix;
        ++compared;
      }
    }
  }
  // 6 layers of 7 linears; 16 schemes of 2 tensors, one with zero points, two with global scales
  EXPECT_EQ(compared, 42 * (16 * 2 + 1 + 2));
}

INSTANTIATE_TEST_SUITE_P(Ops, GoldenTest, testing::Values("ref", "cpu"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace swage
