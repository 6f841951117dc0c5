#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/tidy/source_tree.h"

namespace swage::tidy {
namespace {

TEST(FileLength, NoFileHasMoreThanAThousandLines) {
  constexpr int kLong = 400, kMost = 1000;
  std::vector<int> lengths;
  for (const auto& [path, file] : SourceTree::Get().files()) {
    EXPECT_LE(file.lines, kMost) << path;
    if (file.lines > kLong) std::printf("long: %s has %d lines\n", path.c_str(), file.lines);
    lengths.push_back(file.lines);
  }
  ASSERT_FALSE(lengths.empty()) << "no sources found: is the working directory the repository's root?";
  std::nth_element(lengths.begin(), lengths.begin() + static_cast<std::ptrdiff_t>(lengths.size() / 2), lengths.end());
  std::printf("median: %d lines in %zu files\n", lengths[lengths.size() / 2], lengths.size());
  EXPECT_LE(lengths[lengths.size() / 2], 150);
}

}  // namespace
}  // namespace swage::tidy
