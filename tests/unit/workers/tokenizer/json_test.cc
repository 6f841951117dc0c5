#include "nlohmann/json.hpp"

#include "base/env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/runtime/tokenizer.h"
#include "workers/runtime/tokenizer_json.h"

namespace swage {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json Minimal() {
  return json::parse(R"({"added_tokens": [{"id": 4, "content": "<s>", "special": true}],
      "normalizer": null,
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
      "decoder": {"type": "ByteLevel"},
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b"]}})");
}

StatusOr<std::unique_ptr<Tokenizer>> From(const json& tokenizer, const std::string& config = "") {
  return Tokenizer::FromJson(tokenizer.dump(), config);
}

std::string FailureOf(const json& patch) {
  json tokenizer = Minimal();
  tokenizer.merge_patch(patch);
  const auto loaded = From(tokenizer);
  EXPECT_FALSE(loaded.ok()) << patch;
  if (loaded.ok()) return "";
  EXPECT_NE(NextStepOf(loaded.status()), "") << loaded.status();
  return Cat(ReasonOf(loaded.status()), " ", MessageOf(loaded.status()));
}

TEST(TokenizerJson, TheSmallestOneWorks) {
  const auto tokenizer = From(Minimal(), R"({"bos_token": "<s>"})");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->Encode("ab a<s>b"), testing::ElementsAre(2, 3, 0, 4, 1));
  EXPECT_EQ((*tokenizer)->Decode({2, 3, 0, 4, 1, 99, -5}), "ab a<s>b") << "unknown ids are skipped";
  EXPECT_EQ((*tokenizer)->bos_id(), 4);
  EXPECT_EQ((*tokenizer)->vocab_size(), 5);
  EXPECT_EQ((*tokenizer)->max_id(), 4);
}

TEST(TokenizerJson, BosMayBeAnObjectOrMissing) {
  EXPECT_EQ((*From(Minimal(), R"({"bos_token": {"content": "<s>"}})"))->bos_id(), 4);
  EXPECT_FALSE((*From(Minimal(), R"({"bos_token": null})"))->bos_id().has_value());
  EXPECT_FALSE((*From(Minimal(), R"({"bos_token": "<unknown>"})"))->bos_id().has_value());
  EXPECT_FALSE((*From(Minimal()))->bos_id().has_value());
  EXPECT_EQ(ReasonOf(From(Minimal(), "[").status()), "TOKENIZER_NOT_JSON");
}

TEST(TokenizerJson, MergesMayBePairs) {
  json tokenizer = Minimal();
  tokenizer["model"]["merges"] = json::parse(R"([["a", "b"]])");
  ASSERT_TRUE(From(tokenizer).ok());
  EXPECT_THAT((*From(tokenizer))->Encode("ab"), testing::ElementsAre(2));
  tokenizer["model"]["merges"] = json::parse(R"(["#version: 0.2", "a b"])");
  EXPECT_THAT((*From(tokenizer))->Encode("ab"), testing::ElementsAre(2));
}

TEST(TokenizerJson, WhatIsNotSupportedIsNamed) {
  EXPECT_THAT(FailureOf({{"model", {{"type", "WordPiece"}}}}),
              HasSubstr("UNSUPPORTED_TOKENIZER tokenizer.json: a model of type WordPiece"));
  EXPECT_THAT(FailureOf({{"model", {{"dropout", 0.1}}}}), HasSubstr("dropout"));
  EXPECT_THAT(FailureOf({{"normalizer", {{"type", "BertNormalizer"}}}}),
              HasSubstr("the normalizer BertNormalizer"));
  EXPECT_THAT(FailureOf({{"pre_tokenizer", {{"type", "UnicodeScripts"}}}}),
              HasSubstr("the pre-tokenizer UnicodeScripts"));
  EXPECT_THAT(FailureOf(json::parse(R"({"pre_tokenizer": {"use_regex": true, "type": null}})")),
              HasSubstr("the pre-tokenizer without type"));
  EXPECT_THAT(FailureOf({{"decoder", {{"type", "WordPiece"}}}}),
              HasSubstr("the decoder WordPiece"));
  EXPECT_THAT(FailureOf({{"post_processor", {{"type", "Other"}}}}),
              HasSubstr("the post-processor Other"));
  EXPECT_THAT(FailureOf(json::parse(R"({"normalizer": {"type": "Nmt"}, "pre_tokenizer":
      {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "add_prefix_space": true}})")),
              HasSubstr("prepend_scheme first after this normalizer"));
  json growing = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  EXPECT_THAT(
      FailureOf({{"normalizer", {{"type", "Sequence"}, {"normalizers", json(17, growing)}}}}),
      HasSubstr("65536 times longer"));
}

TEST(TokenizerJson, SpecialTokensGoAroundAText) {
  json tokenizer = Minimal();
  tokenizer["post_processor"] = json::parse(R"({"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}})");
  using testing::ElementsAre;
  const char* const both = R"({"bos_token": "<s>", "eos_token": "b", "add_bos_token": )";
  EXPECT_THAT((*From(tokenizer))->EncodeWithSpecial("ab"), ElementsAre(4, 2));
  EXPECT_THAT((*From(tokenizer))->Encode("ab"), ElementsAre(2));
  EXPECT_THAT((*From(tokenizer, Cat(both, "false}")))->EncodeWithSpecial("ab"), ElementsAre(2))
      << "tokenizer_config.json decides, where it says something";
  EXPECT_THAT(
      (*From(Minimal(), Cat(both, "true, \"add_eos_token\": true}")))->EncodeWithSpecial("ab"),
      ElementsAre(4, 2, 1));
  tokenizer["post_processor"]["special_tokens"]["<s>"]["ids"][0] = 77;
  EXPECT_EQ(ReasonOf(From(tokenizer).status()), "TOKENIZER_FIELD") << "no such id";
  tokenizer["post_processor"] = json::parse(R"({"type": "TemplateProcessing", "single": []})");
  EXPECT_EQ(ReasonOf(From(tokenizer).status()), "UNSUPPORTED_TOKENIZER") << "no text";
}

TEST(TokenizerJson, BrokenFilesAreRefused) {
  for (const char* text : {"", "[]", "{", "null", "\xff", "{\"model\": "}) {
    EXPECT_EQ(ReasonOf(Tokenizer::FromJson(text, "").status()), "TOKENIZER_NOT_JSON") << text;
  }
  EXPECT_THAT(FailureOf({{"model", nullptr}}), HasSubstr("TOKENIZER_FIELD"));
  EXPECT_THAT(FailureOf({{"model", {{"vocab", {{"a", -1}}}}}}), HasSubstr("the id of the token a"));
  EXPECT_THAT(FailureOf({{"model", {{"vocab", {{"a", 4294967296}}}}}}),
              HasSubstr("the id of the token a"));
  EXPECT_THAT(FailureOf({{"model", {{"vocab", {{"a", "0"}}}}}}),
              HasSubstr("the id of the token a"));
  EXPECT_THAT(FailureOf({{"model", {{"merges", {"a c"}}}}}),
              HasSubstr("merge 0 needs the token c"));
  EXPECT_THAT(FailureOf({{"model", {{"merges", {"a b c"}}}}}), HasSubstr("merge 0 is no pair"));
  EXPECT_THAT(FailureOf({{"model", {{"merges", {1}}}}}), HasSubstr("merge 0 is no pair"));
  EXPECT_THAT(FailureOf({{"model", {{"unk_token", "<no>"}}}}), HasSubstr("unk_token <no>"));
  EXPECT_THAT(FailureOf({{"model", {{"type", "Unigram"}}}}), HasSubstr("no list of pieces"));
  EXPECT_THAT(FailureOf(json::parse(R"({"model": {"type": "Unigram", "vocab": [["a", 0]]}})")),
              HasSubstr("unk_id"));
  EXPECT_THAT(FailureOf(json::parse(R"({"model": {"type": "Unigram", "vocab": [["a"]]}})")),
              HasSubstr("piece 0"));
  for (const char* map : {"", "!", "AAAA", "////////", "CAAAAAAAAAAAAAAA/w=="}) {
    EXPECT_THAT(
        FailureOf({{"normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", map}}}}),
        HasSubstr("precompiled_charsmap"))
        << map;
  }
  EXPECT_THAT(FailureOf({{"added_tokens", "x"}}), HasSubstr("added_tokens"));
  EXPECT_THAT(FailureOf({{"added_tokens", {{{"content", "x"}}}}}), HasSubstr("has no valid id"));
  EXPECT_THAT(FailureOf({{"added_tokens", {{{"id", 1}, {"content", std::string(5000, 'x')}}}}}),
              HasSubstr("bytes"));
}

TEST(TokenizerLoad, NamesTheMissingFile) {
  const auto tokenizer = Tokenizer::Load(Env::Posix(), "tests/data/no-such-model");
  EXPECT_EQ(ReasonOf(tokenizer.status()), "TOKENIZER_MISSING");
}

}  // namespace
}  // namespace swage
