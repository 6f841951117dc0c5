#include "clients/cli/report_view.h"

#include <gtest/gtest.h>

namespace swage {
namespace {

constexpr char kReport[] = R"({
  "recipe": {"steps": [{"kind": "quantize", "method": "rtn", "format": "int4", "granularity": "group",
                        "group_size": 128, "activations": null}]},
  "bytes": {"original": 11547040, "artifact": 4619000, "by_class": {}},
  "bits": {"effective": 4.125},
  "quality": {"perplexity": {"original": 268.44321, "compressed": 270.3}},
  "stages": [{"name": "load", "seconds": 0.5, "peak_bytes": 100000000},
             {"name": "evaluate", "seconds": 2.25, "peak_bytes": 300000000}]
})";

TEST(ReportViewTest, TakesTheFiguresOfTheTable) {
  const auto row = ReadReport(kReport, "jobs/1");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->scheme, "rtn int4 group 128");
  EXPECT_EQ(row->bits, "4.125");
  EXPECT_EQ(row->share, "40.0 %");
  EXPECT_EQ(row->perplexity_before, "268.4432");
  EXPECT_EQ(row->perplexity_after, "270.3000");
  EXPECT_EQ(row->seconds, "2.75");
  EXPECT_EQ(row->peak, "300.0 MB");
}

TEST(ReportViewTest, WhatIsNotThereIsADash) {
  const auto row = ReadReport(R"({"stages": [], "quality": {"perplexity": "not measurable"}})", "x");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->perplexity_before, "-");
  EXPECT_EQ(row->bytes, "-");
  EXPECT_EQ(row->share, "-");
}

TEST(ReportViewTest, WhatIsNoReportIsRefused) {
  for (const char* text : {"", "[]", "{}", "{\"stages\": 3}", "\xff"}) {
    EXPECT_EQ(ReasonOf(ReadReport(text, "x").status()), "REPORT_MALFORMED") << text;
  }
}

}  // namespace
}  // namespace swage
