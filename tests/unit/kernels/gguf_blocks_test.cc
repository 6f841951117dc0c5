// Bit for bit what the gguf package reads: tests/golden/gguf/make_blocks.py wrote blocks.json.
#include "kernels/numeric/gguf_blocks.h"

#include <cstring>

#include "base/digest.h"
#include "base/env.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace swage {
namespace {

using nlohmann::json;

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

TEST(GgufBlocks, GiveTheBitsOfTheReference) {
  const StatusOr<std::string> text =
      ReadFile(Env::Posix(), "tests/golden/gguf/blocks.json", 16 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  const json cases = json::parse(*text);
  const int64_t elements = cases["elements"].get<int64_t>();
  size_t types = 0;
  for (const json& row : cases["types"]) {
    const GgufTypeRow* type = FindGgufType(row["type"].get<uint32_t>());
    ASSERT_NE(type, nullptr) << row["name"];
    EXPECT_EQ(type->name, row["name"].get<std::string>());
    // One byte off, so that nothing relies on alignment.
    const std::string blocks = "x" + FromHex(row["bytes"].get<std::string>());
    ASSERT_EQ(blocks.size() - 1, elements / type->elements * type->bytes) << type->name;
    std::vector<float> values(static_cast<size_t>(elements));
    DecodeGguf(type->type, blocks.data() + 1, elements, values.data());
    const std::string_view bytes(reinterpret_cast<const char*>(values.data()), values.size() * 4);
    EXPECT_EQ(bytes.substr(0, 32), FromHex(row["first"].get<std::string>()))
        << type->name << " begins with " << values[0] << " " << values[1];
    EXPECT_EQ(Sha256Of(bytes).Hex(), row["sha256"].get<std::string>()) << type->name;
    ++types;
  }
  EXPECT_EQ(types, std::size(kGgufTypes) - 5) << "all but the integers and F64";
}

TEST(GgufBlocks, DoublesAreRounded) {
  const double values[2] = {0.1, -3.0};
  float out[2];
  DecodeGguf(GgufType::kF64, reinterpret_cast<const char*>(values), 2, out);
  EXPECT_EQ(out[0], 0.1f);
  EXPECT_EQ(out[1], -3.0f);
  EXPECT_FALSE(DecodesGguf(GgufType::kI32));
}

}  // namespace
}  // namespace swage
