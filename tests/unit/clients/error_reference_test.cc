// Every reason that the sources give an error is in docs/errors.md.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace {

std::string Slurp(const std::filesystem::path& path) {
  std::stringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

void Collect(const std::string& text, const std::regex& pattern, int group, const std::string& from,
             std::map<std::string, std::string>* reasons) {
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
    reasons->emplace((*it)[group].str(), from);
  }
}

TEST(ErrorReferenceTest, EveryReasonIsDocumented) {
  const std::regex made(
      R"re((?:Error|InvalidInput|NotFound|Precondition|DataLoss|Unavailable|Refuse)\(\s*(?:(?:absl::)?StatusCode::\w+,\s*)?"([A-Z][A-Z0-9_]+)")re");
  const std::regex policy(R"re(return \{"([A-Z][A-Z_]+)",)re");  // scheduler/core/reason.cc
  std::map<std::string, std::string> reasons;
  for (const char* room : {"base", "kernels", "workers", "scheduler", "storage", "services", "clients"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(room)) {
      const std::string name = entry.path().string();
      if (!name.ends_with(".cc") && !name.ends_with(".h")) continue;
      const std::string text = Slurp(entry.path());
      Collect(text, made, 1, name, &reasons);
      if (name.ends_with("core/reason.cc")) Collect(text, policy, 1, name, &reasons);
    }
  }
  ASSERT_GT(reasons.size(), 100u) << "run from the root of the repository";

  std::map<std::string, std::string> documented;
  Collect(Slurp("docs/errors.md"), std::regex("`([A-Z][A-Z0-9_]+)`"), 1, "docs/errors.md", &documented);
  for (const auto& [reason, file] : reasons) {
    EXPECT_TRUE(documented.contains(reason)) << reason << " (" << file << ") is not in docs/errors.md";
  }
}

}  // namespace
