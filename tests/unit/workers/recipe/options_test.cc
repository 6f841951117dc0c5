#include "workers/recipe/options.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

const MethodRow& Example() {
  static const MethodRow row = [] {
    MethodRow r{.id = "example", .kind = "quantize"};
    r.options = {
        {.name = "count",
         .type = OptionType::kInt,
         .default_value = "4",
         .min = 1,
         .max = 100,
         .meaning = "m"},
        {.name = "damp",
         .type = OptionType::kFloat,
         .default_value = "0.01",
         .min = 0,
         .max = 1,
         .meaning = "m"},
        {.name = "exact", .type = OptionType::kBool, .default_value = "false", .meaning = "m"},
        {.name = "label", .type = OptionType::kString, .default_value = "", .meaning = "m"},
        {.name = "order",
         .type = OptionType::kChoice,
         .default_value = "static",
         .choices = {"static", "none"},
         .meaning = "m"},
    };
    return r;
  }();
  return row;
}

StatusOr<std::map<std::string, std::string>> Read(std::string_view yaml) {
  SWAGE_ASSIGN_OR_RETURN(const TreeNode tree, TreeFromYaml(yaml));
  return ReadOptions(Example(), &tree);
}

std::string FailureOf(std::string_view yaml) {
  const auto options = Read(yaml);
  EXPECT_FALSE(options.ok()) << yaml;
  return options.ok() ? "" : Cat(ReasonOf(options.status()), " ", MessageOf(options.status()));
}

TEST(Options, DefaultsAreFilledIn) {
  const auto options = ReadOptions(Example(), nullptr);
  ASSERT_TRUE(options.ok());
  EXPECT_THAT(*options,
              ElementsAre(Pair("count", "4"), Pair("damp", "0.01"), Pair("exact", "false"),
                          Pair("label", ""), Pair("order", "static")));
}

TEST(Options, ValuesGetOneSpelling) {
  const auto options = Read("{count: 007, damp: 5.0e-1, exact: true, order: none}");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->at("count"), "7");
  EXPECT_EQ(options->at("damp"), "0.5");
  EXPECT_EQ(options->at("exact"), "true");
  EXPECT_EQ(options->at("order"), "none");
  EXPECT_EQ(Read("{damp: -0.0}")->at("damp"), "0");
}

TEST(Options, TypesAndRangesAreChecked) {
  EXPECT_THAT(FailureOf("{count: 0}"), HasSubstr("OPTION_RANGE recipe, line 1: the option 'count' "
                                                 "must be of type integer, allowed: 1 to 100"));
  EXPECT_THAT(FailureOf("{count: 101}"), HasSubstr("OPTION_RANGE"));
  EXPECT_THAT(FailureOf("{count: 1.5}"), HasSubstr("OPTION_TYPE"));
  EXPECT_THAT(FailureOf("{count: \"4\"}"), HasSubstr("OPTION_TYPE"));
  EXPECT_THAT(FailureOf("{count: 99999999999999999999}"), HasSubstr("OPTION_TYPE"));
  EXPECT_THAT(FailureOf("{damp: 1.01}"), HasSubstr("OPTION_RANGE"));
  EXPECT_THAT(FailureOf("{damp: nan}"), HasSubstr("OPTION_TYPE"));
  EXPECT_THAT(FailureOf("{exact: yes}"), HasSubstr("OPTION_TYPE"));
  EXPECT_THAT(FailureOf("{order: dynamic}"), HasSubstr("allowed: static, none"));
  EXPECT_THAT(FailureOf("{damp: [1]}"), HasSubstr("OPTION_TYPE"));
  EXPECT_THAT(FailureOf("[1]"), HasSubstr("must be a map"));
}

TEST(Options, UnknownNamesGetTheNearest) {
  EXPECT_THAT(FailureOf("{count: 1,\n dampp: 1}"),
              HasSubstr("UNKNOWN_OPTION recipe, line 2: the method 'example' has no option "
                        "'dampp'; did you mean 'damp'?"));
}

}  // namespace
}  // namespace swage
