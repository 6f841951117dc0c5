// docs/guarantees.md promises only what a test shows. Each promise (a list item or a row of a table) names, in
// `backticks`, at least one test as Suite.Name or one file below tests/; every one that is named must exist.
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/tidy/source_tree.h"

namespace swage::tidy {
namespace {

constexpr char kPage[] = "docs/guarantees.md";

std::set<std::string> AllTests() {
  static const std::regex declaration(R"(\b(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\))");
  std::set<std::string> names;
  for (const auto& [path, file] : SourceTree::Get().files()) {
    if (IsProductPath(path) || !file.is_unit()) continue;
    const std::string text = ReadText(path);
    for (std::sregex_iterator it(text.begin(), text.end(), declaration), end; it != end; ++it) {
      names.insert((*it)[1].str() + "." + (*it)[2].str());
    }
  }
  return names;
}

// List items with the lines that continue them; rows of tables, without head and rule.
std::vector<std::string> Promises(const std::string& page) {
  static const std::regex item(R"(^\s*([-*]|\d+\.)\s+.*)"), rule(R"(^\s*\|[\s:|-]+\|\s*$)");
  std::vector<std::string> promises;
  bool in_item = false;
  std::istringstream in(page);
  for (std::string line; std::getline(in, line);) {
    if (std::regex_match(line, rule)) {
      if (!promises.empty()) promises.pop_back();  // the head of the table stood before it
      in_item = false;
    } else if (line.starts_with("|") || std::regex_match(line, item)) {
      promises.push_back(line);
      in_item = !line.starts_with("|");
    } else if (line.empty() || line.starts_with("#")) {
      in_item = false;
    } else if (in_item) {
      promises.back() += " " + line;
    }
  }
  return promises;
}

TEST(Guarantees, EveryPromiseNamesATestThatExists) {
  const std::string page = ReadText(kPage);
  ASSERT_FALSE(page.empty()) << kPage << " is missing or empty";
  const std::vector<std::string> promises = Promises(page);
  ASSERT_FALSE(promises.empty()) << kPage << " has no list and no table";
  const std::set<std::string> tests = AllTests();
  static const std::regex quoted("`([^`]+)`"), test_name(R"([A-Z]\w*\.[A-Z]\w*)");
  for (const std::string& promise : promises) {
    int named = 0;
    for (std::sregex_iterator it(promise.begin(), promise.end(), quoted), end; it != end; ++it) {
      const std::string name = (*it)[1];
      if (name.starts_with("tests/")) {
        ++named;
        EXPECT_TRUE(std::filesystem::exists(name)) << name << " is named in: " << promise;
      } else if (std::regex_match(name, test_name)) {
        ++named;
        EXPECT_TRUE(tests.contains(name)) << "no test " << name << ", named in: " << promise;
      }
    }
    EXPECT_GT(named, 0) << "no test shows: " << promise;
  }
}

TEST(GuaranteesPage, ItsReaderFindsListItemsAndTableRows) {
  const auto promises = Promises("# Head\n- one `A.B`\n  goes on\n\ntext\n| head | x |\n|---|---|\n| two | `C.D` |\n1. three\n");
  EXPECT_EQ(promises, (std::vector<std::string>{"- one `A.B`   goes on", "| two | `C.D` |", "1. three"}));
}

}  // namespace
}  // namespace swage::tidy
