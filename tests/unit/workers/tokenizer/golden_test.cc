// Token for token what the `tokenizers` library gives: tests/golden/tokenizer/make.py wrote
// cases.json with it.
#include "tests/unit/workers/tokenizer/golden_cases.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

using nlohmann::json;

const char kModel[] = "tests/data/models/classics-6m";

const json& Cases() {
  static const json cases = json::parse(ReadAll("tests/golden/tokenizer/cases.json"));
  return cases;
}

// The same text as make.py's all_points.
std::string AllPoints() {
  std::string text;
  const auto add = [&](uint32_t c) {
    std::string point;
    AppendUtf8(c, &point);
    text += "a" + point + "1 '" + point + "x\n" + point + " \n";
  };
  for (uint32_t c = 0; c < 0x33480; ++c) {
    if (c < 0xD800 || c > 0xDFFF) add(c);
  }
  for (uint32_t c = 0xE0000; c < 0xE0200; ++c) add(c);
  return text;
}

class Golden : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    const json& variant = Cases()["variants"][GetParam()];
    json tokenizer = json::parse(ReadAll(std::string(kModel) + "/tokenizer.json"));
    tokenizer.merge_patch(variant["patch"]);
    auto loaded = Tokenizer::FromJson(tokenizer.dump(), "");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *std::move(loaded);
  }
  const json& variant() const { return Cases()["variants"][GetParam()]; }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(Golden, ShortTextsGiveTheSameIdsAndBack) {
  for (size_t i = 0; i < Cases()["short"].size(); ++i) {
    const std::string text = Cases()["short"][i].get<std::string>();
    const std::vector<int32_t> ids = tokenizer_->Encode(text);
    EXPECT_EQ(ids, variant()["short_ids"][i].get<std::vector<int32_t>>()) << text;
    EXPECT_EQ(tokenizer_->Decode(ids), variant()["short_decoded"][i].get<std::string>()) << text;
  }
}

TEST_P(Golden, AdversarialTextsGiveTheSameIds) {
  for (size_t i = 0; i < Cases()["random_texts"].size(); ++i) {
    ExpectDigests(*tokenizer_, Cases()["random_texts"][i].get<std::string>(),
                  variant()["random_texts"][i]);
  }
}

TEST_P(Golden, RandomBytesAreRepairedAlike) {
  for (size_t i = 0; i < Cases()["random_bytes"].size(); ++i) {
    ExpectDigests(*tokenizer_, FromHex(Cases()["random_bytes"][i].get<std::string>()),
                  variant()["random_bytes"][i]);
  }
}

using GoldenPoints = Golden;
TEST_P(GoldenPoints, EveryCodePointFallsIntoTheSameClass) {
  ExpectDigests(*tokenizer_, AllPoints(), variant()["points"]);
}

using GoldenTexts = Golden;
TEST_P(GoldenTexts, RealTextsGiveTheSameIds) {
  for (const auto& [path, expected] : variant()["texts"].items())
    ExpectDigests(*tokenizer_, ReadAll(path), expected);
}

std::string NameOf(const testing::TestParamInfo<size_t>& info) {
  std::string name = Cases()["variants"][info.param]["name"].get<std::string>();
  for (char& c : name) {
    if (!isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

std::vector<size_t> VariantsWith(const char* key) {
  std::vector<size_t> out;
  for (size_t i = 0; i < Cases()["variants"].size(); ++i) {
    const json& value = Cases()["variants"][i][key];
    if (!value.is_null() && !value.empty()) out.push_back(i);
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Variants, Golden, testing::ValuesIn(VariantsWith("name")), NameOf);
INSTANTIATE_TEST_SUITE_P(Variants, GoldenPoints, testing::ValuesIn(VariantsWith("points")), NameOf);
INSTANTIATE_TEST_SUITE_P(Variants, GoldenTexts, testing::ValuesIn(VariantsWith("texts")), NameOf);

TEST(SampleModel, KnowsItsBosAndSize) {
  const auto tokenizer = Tokenizer::Load(Env::Posix(), kModel);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->bos_id(), 1);
  EXPECT_EQ((*tokenizer)->vocab_size(), 4096);
}

}  // namespace
}  // namespace swage
