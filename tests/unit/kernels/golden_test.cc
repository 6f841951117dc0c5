// Byte equality with compressed-tensors (tests/golden/rtn/rtn_golden.py): codes, scales, zero
// points and packed words of small matrices full of corner cases, and of every linear of the sample
// model.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/digest.h"
#include "base/env.h"
#include "base/modelfile/safetensors.h"
#include "kernels/api/ops.h"
#include "kernels/numeric/int_quant.h"

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
};

Stored QuantizeWith(Ops* ops, const std::vector<float>& w, int64_t rows, int64_t columns,
                    std::string_view format, bool symmetric, std::string_view strategy,
                    int64_t group) {
  QuantizeArgs args;
  args.out = rows;
  args.in = columns;
  args.group = strategy == "group" ? group : columns;
  args.per_tensor = strategy == "tensor";
  args.format = format;
  args.symmetric = symmetric;
  Stored stored;
  stored.codes.resize(w.size());
  stored.scales.resize(args.per_tensor ? 1 : w.size() / args.group);
  stored.zeros.resize(symmetric ? 0 : stored.scales.size());
  args.w = w.data();
  args.codes = stored.codes.data();
  args.scales = stored.scales.data();
  args.zeros = stored.zeros.data();
  EXPECT_TRUE(ops->Quantize(args).ok());
  return stored;
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
    const Stored stored = QuantizeWith(ops_.get(), MatrixOf(matrix), rows, columns, format,
                                       symmetric, strategy, item["group"]);
    EXPECT_EQ(HexOf(stored.codes), item["codes"].get<std::string>());
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
    ++cases;
  }
  EXPECT_EQ(cases, 132);
}

struct Scheme {
  const char* format;
  int bits;
  const char* strategy;
  int64_t group;
  bool symmetric, packed;
};

const std::map<std::string, Scheme>& Schemes() {
  static const auto* const schemes =
      new std::map<std::string, Scheme>{{"W4A16", {"int4", 4, "group", 128, true, true}},
                                        {"W8A16", {"int8", 8, "group", 128, true, true}},
                                        {"W3A16", {"int3", 3, "group", 128, true, true}},
                                        {"W4A16_ASYM", {"int4", 4, "group", 128, false, true}},
                                        {"W8A8", {"int8", 8, "channel", 0, true, false}},
                                        {"FP8_DYNAMIC", {"fp8_e4m3", 8, "channel", 0, true, false}},
                                        {"FP8", {"fp8_e4m3", 8, "tensor", 0, true, false}}};
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

// Digests of the tensors that the scheme stores for one linear, by suffix.
std::map<std::string, std::string> Digests(Ops* ops, const Scheme& scheme,
                                           const std::vector<float>& w, int64_t rows,
                                           int64_t columns) {
  const Stored stored = QuantizeWith(ops, w, rows, columns, scheme.format, scheme.symmetric,
                                     scheme.strategy, scheme.group);
  std::map<std::string, std::string> digests = {{"weight_scale", Sha(stored.scales)}};
  if (scheme.packed) {
    digests["weight_packed"] = Sha(Packed(ops, rows, columns, scheme.bits, stored.codes));
  } else {
    digests["weight"] = Sha(stored.codes);
  }
  if (!scheme.symmetric)
    digests["weight_zero_point"] = Sha(PackedZeros(ops, stored.zeros, rows, scheme.bits));
  return digests;
}

TEST_P(GoldenTest, EveryLinearOfTheSampleModelIsByteEqualToCompressedTensors) {
  const StatusOr<ModelFiles> files =
      ModelFiles::Open(Env::Posix(), "tests/data/models/classics-6m");
  ASSERT_TRUE(files.ok()) << MessageOf(files.status());
  int compared = 0;
  for (const std::string& name : files->Names()) {
    if (!EndsWith(name, "_proj.weight")) continue;
    const TensorView view = *files->Find(name);
    const int64_t rows = view.info->shape[0], columns = view.info->shape[1];
    std::vector<uint16_t> halves(rows * columns);
    std::memcpy(halves.data(), view.bytes.data(), view.bytes.size());
    std::vector<float> w(halves.size());
    ASSERT_TRUE(
        ops_->CastToF32(static_cast<int64_t>(w.size()), halves.data(), DType::kBF16, w.data())
            .ok());
    for (const auto& [id, scheme] : Schemes()) {
      const Json& want = Golden()["model"][id];
      const std::string module = name.substr(0, name.size() - std::strlen("weight"));
      for (const auto& [suffix, digest] : Digests(ops_.get(), scheme, w, rows, columns)) {
        EXPECT_EQ(digest, want[module + suffix].get<std::string>())
            << id << " " << module << suffix;
        ++compared;
      }
    }
  }
  EXPECT_EQ(
      compared,
      42 * (7 * 2 + 1));  // 6 layers of 7 linears; 7 schemes of 2 tensors, one with zero points
}

INSTANTIATE_TEST_SUITE_P(Ops, GoldenTest, testing::Values("ref", "cpu"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace swage
