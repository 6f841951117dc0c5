// `catalog_test --update` writes docs/methods again.
#include "workers/catalog/catalog.h"

#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <string>

#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/catalog/method_page.h"

namespace swage {
namespace {

std::string PagePath(const MethodRow& row) { return Cat("docs/methods/", row.id, ".md"); }

TEST(Catalog, MethodsAreFoundByTheirId) {
  for (const MethodRow& row : Methods()) EXPECT_EQ(FindMethod(row.id), &row);
  EXPECT_EQ(FindMethod("no such method"), nullptr);
}

TEST(Catalog, IdsAreUniqueAndRowsComplete) {
  std::set<std::string_view> ids;
  for (const MethodRow& row : Methods()) {
    EXPECT_TRUE(ids.insert(row.id).second) << row.id;
    EXPECT_FALSE(row.kind.empty()) << row.id;
    EXPECT_FALSE(row.title.empty()) << row.id;
    EXPECT_FALSE(row.paper.empty()) << row.id;
    EXPECT_FALSE(row.exports.empty()) << row.id;
    EXPECT_GE(row.version, 1) << row.id;
  }
}

TEST(Catalog, OptionsHaveRangesAndMeanings) {
  for (const MethodRow& row : Methods()) {
    for (const OptionRow& option : row.options) {
      EXPECT_FALSE(option.meaning.empty()) << row.id << " " << option.name;
      if (option.type == OptionType::kInt || option.type == OptionType::kFloat) {
        EXPECT_LT(option.min, option.max);
      }
      if (option.type == OptionType::kChoice) {
        EXPECT_THAT(option.choices, testing::Contains(option.default_value))
            << row.id << " " << option.name;
      }
    }
  }
}

TEST(Catalog, EveryMethodHasItsUpToDatePage) {
  for (const MethodRow& row : Methods()) {
    std::ifstream file(PagePath(row));
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_EQ(text.str(), MethodPage(row))
        << PagePath(row) << " is out of date: run catalog_test --update";
  }
}

TEST(MethodPage, ListsOptionsWithTheirRanges) {
  MethodRow row{.id = "x", .kind = "quantize", .title = "X", .paper = "none"};
  row.options = {{.name = "damp",
                  .type = OptionType::kFloat,
                  .default_value = "0.01",
                  .min = 0,
                  .max = 1,
                  .meaning = "a meaning"},
                 {.name = "order",
                  .type = OptionType::kChoice,
                  .default_value = "a",
                  .choices = {"a", "b"},
                  .meaning = "another"}};
  const std::string page = MethodPage(row);
  EXPECT_THAT(page, testing::HasSubstr("| `damp` | number | `0.01` | 0 to 1 | a meaning |"));
  EXPECT_THAT(page, testing::HasSubstr("| `order` | choice | `a` | a, b | another |"));
}

}  // namespace
}  // namespace swage

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--update") {
    for (const swage::MethodRow& row : swage::Methods())
      std::ofstream(swage::PagePath(row)) << swage::MethodPage(row);
    return 0;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
