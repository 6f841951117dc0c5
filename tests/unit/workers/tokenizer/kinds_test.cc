// Every kind of tokenizer, token for token: tests/golden/tokenizer/make_kinds.py wrote kinds.json
// with the `tokenizers` library.
#include "tests/unit/workers/tokenizer/golden_cases.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

using nlohmann::json;

const json& KindCases() {
  static const json cases = json::parse(ReadAll("tests/golden/tokenizer/kinds.json"));
  return cases;
}

// The same text as make_kinds.py's few_points.
std::string FewPoints() {
  std::string text;
  for (uint32_t c = 0; c < 0x33480; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    text += "x";
    AppendUtf8(c, &text);
    text += " ";
  }
  return text;
}

class Kinds : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    json tokenizer;
    if (kind().contains("tokenizer")) {
      tokenizer = kind()["tokenizer"];
    } else {
      tokenizer = json::parse(ReadAll("tests/data/models/classics-6m/tokenizer.json"));
      tokenizer.merge_patch(kind()["patch"]);
    }
    auto loaded = Tokenizer::FromJson(tokenizer.dump(), "");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *std::move(loaded);
  }
  const json& kind() const { return KindCases()["kinds"][GetParam()]; }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(Kinds, ShortTextsGiveTheSameIdsAndBack) {
  for (size_t i = 0; i < KindCases()["short"].size(); ++i) {
    const std::string text = KindCases()["short"][i].get<std::string>();
    const std::vector<int32_t> ids = tokenizer_->Encode(text);
    EXPECT_EQ(ids, kind()["short_ids"][i].get<std::vector<int32_t>>()) << text;
    EXPECT_EQ(tokenizer_->Decode(ids), kind()["short_decoded"][i].get<std::string>()) << text;
  }
  EXPECT_EQ(tokenizer_->EncodeWithSpecial("Hello w\u00f6rld"),
            kind()["special"].get<std::vector<int32_t>>());
}

TEST_P(Kinds, LongTextsGiveTheSameIds) {
  for (size_t i = 0; i < KindCases()["random_texts"].size(); ++i)
    ExpectDigests(*tokenizer_, KindCases()["random_texts"][i].get<std::string>(),
                  kind()["random_texts"][i]);
  for (size_t i = 0; i < KindCases()["random_bytes"].size(); ++i)
    ExpectDigests(*tokenizer_, FromHex(KindCases()["random_bytes"][i].get<std::string>()),
                  kind()["random_bytes"][i]);
  for (const auto& [path, expected] : kind()["texts"].items())
    ExpectDigests(*tokenizer_, ReadAll(path), expected);
  if (!kind()["points"].is_null()) ExpectDigests(*tokenizer_, FewPoints(), kind()["points"]);
}

std::string NameOfKind(const testing::TestParamInfo<size_t>& info) {
  std::string name = KindCases()["kinds"][info.param]["name"].get<std::string>();
  for (char& c : name) {
    if (!isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Kinds, Kinds, testing::Range(size_t{0}, KindCases()["kinds"].size()),
                         NameOfKind);

}  // namespace
}  // namespace swage
