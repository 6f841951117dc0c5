// docs/guarantees.md promises only what a test shows. Each promise (a list item or a row of a table) names at least one
// test, and every one that is named must exist. In `backticks`: `binary: Suite.Test` or `Suite.Test`; after one of
// these, `Test` of the same suite; `tests/some/file`. The word sim stands for the simulator; `Checker::Rule` and, after
// the word mutant, `a_planted_bug` are names in its sources. What stands below a heading "Not promised..." promises
// nothing.
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

std::string TextBelow(const std::string& folder) {
  std::string text;
  for (const std::string& path : FilesBelow(folder)) text += ReadText(path) + "\n";
  return text;
}

// List items with the lines that continue them; rows of tables, without head and rule.
std::vector<std::string> Promises(const std::string& page) {
  static const std::regex item(R"(^\s*([-*]|\d+\.)\s+.*)"), rule(R"(^\s*\|[\s:|-]+\|\s*$)");
  std::vector<std::string> promises;
  bool in_item = false, promised = true;
  std::istringstream in(page);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("#")) promised = line.find("# Not promised") == std::string::npos;
    if (!promised) continue;
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

// What a name can refer to.
struct Known {
  std::set<std::string> tests = AllTests();
  std::string build = TextBelow("tests"), simulator = TextBelow("tests/sim");
};

// The number of tests that `promise` names; what does not exist goes to `missing`.
int CountTests(const std::string& promise, const Known& known, std::vector<std::string>* missing) {
  static const std::regex quoted("`([^`]+)`"), full(R"((?:(\w+): )?([A-Z]\w*)\.([A-Z]\w*))"), rule("Checker::(\\w+)"),
      test("[A-Z]\\w*"), mutant("[a-z]\\w*"), sim("\\bsim\\b");
  int named = 0;
  std::string suite;
  const auto need = [&](bool exists, const std::string& name) {
    ++named;
    if (!exists) missing->push_back(name);
  };
  std::istringstream segments(promise);
  for (std::string segment; std::getline(segments, segment, ';');) {
    if (std::regex_search(segment, sim)) need(!known.simulator.empty(), "tests/sim");
    const bool mutants = segment.find("mutant") != std::string::npos;
    for (std::sregex_iterator it(segment.begin(), segment.end(), quoted), end; it != end; ++it) {
      const std::string name = (*it)[1];
      std::smatch match;
      if (name.starts_with("tests/")) {
        need(std::filesystem::exists(name), name);
      } else if (std::regex_match(name, match, full)) {
        suite = match[2];
        need(known.tests.contains(suite + "." + match[3].str()), name);
        const std::string binary = match[1];
        if (!binary.empty() && known.build.find("(" + binary) == std::string::npos) missing->push_back(binary);
      } else if (std::regex_match(name, match, rule)) {
        need(known.simulator.find(match[1].str() + "(") != std::string::npos, name);
      } else if (std::regex_match(name, test) && !suite.empty()) {
        need(known.tests.contains(suite + "." + name), suite + "." + name);
      } else if (mutants && std::regex_match(name, mutant)) {
        need(known.simulator.find(name) != std::string::npos, name);
      }
    }
  }
  return named;
}

TEST(Guarantees, EveryPromiseNamesATestThatExists) {
  const std::string page = ReadText(kPage);
  ASSERT_FALSE(page.empty()) << kPage << " is missing or empty";
  const std::vector<std::string> promises = Promises(page);
  ASSERT_FALSE(promises.empty()) << kPage << " has no list and no table";
  const Known known;
  for (const std::string& promise : promises) {
    std::vector<std::string> missing;
    EXPECT_GT(CountTests(promise, known, &missing), 0) << "no test shows: " << promise;
    for (const std::string& name : missing) ADD_FAILURE() << name << " does not exist; named in: " << promise;
  }
}

TEST(GuaranteesPage, NamesAreFoundInTheirFormsAndMissedWhenTheyDoNotExist) {
  Known known;
  known.tests = {"S.One", "S.Two"};
  known.build = "swage_test(s_test SRCS";
  known.simulator = "void CheckEnd() planted_bug";
  const auto missing = [&](const std::string& promise) {
    std::vector<std::string> names;
    const int count = CountTests(promise, known, &names);
    return names.empty() ? std::to_string(count) : names.front();
  };
  EXPECT_EQ(missing("| p | `s_test: S.One`, `Two`; `S.Two` |"), "3");
  EXPECT_EQ(missing("| p | `s_test: S.Three` |"), "s_test: S.Three");
  EXPECT_EQ(missing("| p | `S.One`, `Three` |"), "S.Three");
  EXPECT_EQ(missing("| p | `t_test: S.One` |"), "t_test");
  EXPECT_EQ(missing("| p | sim (`Checker::CheckEnd`), mutant `planted_bug` |"), "3");
  EXPECT_EQ(missing("| p | sim, mutant `no_bug` |"), "no_bug");
  EXPECT_EQ(missing("| p | `Checker::Nothing` |"), "Checker::Nothing");
  EXPECT_EQ(missing("| p | by looking at `it` |"), "0");
  EXPECT_EQ(missing("| p | `tests/tidy/none.cc` |"), "tests/tidy/none.cc");
}

TEST(GuaranteesPage, ItsReaderFindsListItemsAndTableRows) {
  const auto promises = Promises("# Head\n- one `A.B`\n  goes on\n\ntext\n| head | x |\n|---|---|\n| two | `C.D` |\n1. three\n"
                                 "## Not promised yet\n- four\n");
  EXPECT_EQ(promises, (std::vector<std::string>{"- one `A.B`   goes on", "| two | `C.D` |", "1. three"}));
}

}  // namespace
}  // namespace swage::tidy
