#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "tests/tidy/source_tree.h"
#include "workers/catalog/catalog.h"

namespace swage::tidy {
namespace {

TEST(Catalog, EveryRowHasItsImplementationAndItsJobTest) {
  const auto sources = FilesBelow("workers/methods");
  ASSERT_FALSE(Methods().empty());
  for (const MethodRow& row : Methods()) {
    const std::string file = "/" + std::string(row.id) + ".cc";
    EXPECT_TRUE(std::any_of(sources.begin(), sources.end(), [&](const std::string& s) { return s.ends_with(file); }))
        << "no workers/methods/**" << file << " for the catalog row '" << row.id << "'";
    const std::string test = "tests/jobs/" + std::string(row.id) + ".jobtest";
    EXPECT_TRUE(std::filesystem::exists(test)) << test << " is missing";
  }
}

TEST(Catalog, EveryJobTestIsOfARow) {
  for (const std::string& path : FilesBelow("tests/jobs")) {
    if (!path.ends_with(".jobtest")) continue;
    EXPECT_NE(FindMethod(std::filesystem::path(path).stem().string()), nullptr) << path;
  }
}

TEST(Catalog, IdsAreUnique) {
  std::set<std::string_view> ids;
  for (const MethodRow& row : Methods()) EXPECT_TRUE(ids.insert(row.id).second) << row.id;
}

}  // namespace
}  // namespace swage::tidy
