#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/numeric/formats.h"
#include "workers/recipe/scheme.h"

namespace swage {
namespace {

TEST(SchemeRules, AgreeWithTheFormatsThatTheKernelsCompute) {
  for (const SchemeRules& rules : AllSchemeRules()) {
    const FormatRow* format = FindFormat(rules.format);
    ASSERT_NE(format, nullptr) << rules.format;
    EXPECT_EQ(format->bits, rules.bits) << rules.format;
    EXPECT_EQ(format->has_asymmetric, rules.has_asymmetric) << rules.format;
    for (const std::string& granularity : rules.granularities) {
      EXPECT_THAT(format->granularities, testing::Contains(granularity)) << rules.format;
    }
    EXPECT_EQ(format->fixed_group > 0, rules.fixed_group) << rules.format;
    if (rules.fixed_group) {
      EXPECT_EQ(format->fixed_group, rules.group_size) << rules.format;
    }
    EXPECT_THAT(rules.granularities, testing::Contains(rules.default_granularity)) << rules.format;
  }
}

}  // namespace
}  // namespace swage
