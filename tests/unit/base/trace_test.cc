#include "base/telemetry/trace.h"

#include <gtest/gtest.h>

#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/env.h"
#include "base/text.h"

namespace swage {
namespace {

using nlohmann::json;

class MemorySink : public SpanSink {
 public:
  void Write(const SpanData& span, std::string_view) override {
    const std::lock_guard lock(mutex_);
    spans.push_back(span);
  }
  std::vector<SpanData> spans;

 private:
  std::mutex mutex_;
};

std::vector<json> LinesOf(const std::string& path) {
  std::vector<json> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line, nullptr, false));
  return lines;
}

TEST(SpanContext, TraceparentRoundTrips) {
  const SpanContext context = SpanContext::NewTrace();
  ASSERT_TRUE(context.valid());
  const std::string header = context.ToTraceparent();
  EXPECT_EQ(header.size(), 55u);
  const SpanContext parsed = SpanContext::FromTraceparent(header);
  EXPECT_EQ(parsed.trace_id, context.trace_id);
  EXPECT_EQ(parsed.span_id, context.span_id);
  EXPECT_EQ(SpanContext().ToTraceparent(), "");
}

TEST(SpanContext, FollowsTheRulesOfW3c) {
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736", span = "00f067aa0ba902b7";
  EXPECT_TRUE(SpanContext::FromTraceparent("00-" + trace + "-" + span + "-01").valid());
  EXPECT_TRUE(SpanContext::FromTraceparent("00-" + trace + "-" + span + "-00").valid());
  EXPECT_TRUE(SpanContext::FromTraceparent("01-" + trace + "-" + span + "-01-later").valid());
  for (const std::string& bad :
       {std::string(), "00-" + trace, "ff-" + trace + "-" + span + "-01", "00-" + trace + "-" + span + "-01-later",
        "00-" + std::string(32, '0') + "-" + span + "-01", "00-" + trace + "-" + std::string(16, '0') + "-01",
        "00-" + std::string(32, 'A') + "-" + span + "-01", "00-" + trace + "_" + span + "-01",
        "00-" + trace + "-" + span + "-0x", "01-" + trace + "-" + span + "-01later"}) {
    EXPECT_FALSE(SpanContext::FromTraceparent(bad).valid()) << bad;
  }
}

TEST(Tracer, ChildrenShareTheTraceAndNameTheirParent) {
  ManualClock clock;
  auto sink = std::make_shared<MemorySink>();
  Tracer tracer("test", &clock, sink);
  {
    Span root = tracer.Start("job", {}, {{"swage.job", "1"}});
    clock.AdvanceMillis(5);
    Span child = tracer.Start("block", root.context());
    EXPECT_EQ(child.context().trace_id, root.context().trace_id);
    EXPECT_NE(child.context().span_id, root.context().span_id);
    clock.AdvanceMillis(7);
    child.SetAttribute("k", "v");
    child.SetStatus(DataLoss("TORN", "bytes differ"));
    Span moved = std::move(child);  // ends once only
  }
  ASSERT_EQ(sink->spans.size(), 2u);
  const SpanData &block = sink->spans[0], &job = sink->spans[1];
  EXPECT_EQ(block.name, "block");
  EXPECT_EQ(block.parent_span_id, job.context.span_id);
  EXPECT_EQ(job.parent_span_id, "");
  EXPECT_EQ(block.end_unix_nanos - block.start_unix_nanos, 7000000);
  EXPECT_EQ(job.end_unix_nanos - job.start_unix_nanos, 12000000);
  EXPECT_EQ(block.attributes.at("k"), "v");
  EXPECT_TRUE(block.error);
  EXPECT_FALSE(job.error);
}

TEST(Tracer, WithoutSinkTheParentIsPassedOn) {
  Tracer tracer("test", Clock::Real(), nullptr);
  const SpanContext parent = SpanContext::NewTrace();
  Span span = tracer.Start("x", parent);
  span.SetAttribute("a", "b");
  EXPECT_EQ(span.context().ToTraceparent(), parent.ToTraceparent());
}

TEST(JsonLines, ALineHasTheFieldsOfOtlp) {
  const TempDir dir;
  const std::string path = JoinPath(dir.path(), "t.jsonl");
  ManualClock clock;
  {
    auto sink = NewJsonLinesSink(path);
    ASSERT_TRUE(sink.ok());
    Tracer tracer("swage-worker", &clock, std::move(*sink));
    const SpanContext parent = SpanContext::FromTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    Span span = tracer.Start("load", parent, {{"swage.job", "j\n1"}, {"bad", "\xff"}});
    span.SetStatus(NotFound("X", "gone"));
    clock.AdvanceMillis(3);
  }
  const auto lines = LinesOf(path);
  ASSERT_EQ(lines.size(), 1u);
  const json& line = lines[0];
  EXPECT_EQ(line["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(line["parentSpanId"], "00f067aa0ba902b7");
  EXPECT_EQ(line["spanId"].get<std::string>().size(), 16u);
  EXPECT_EQ(line["name"], "load");
  EXPECT_EQ(line["startTimeUnixNano"], "1700000000000000000");
  EXPECT_EQ(line["endTimeUnixNano"], "1700000000003000000");
  EXPECT_EQ(line["status"]["code"], 2);
  EXPECT_EQ(line["status"]["message"], "gone");
  EXPECT_EQ(line["attributes"][1]["key"], "swage.job");
  EXPECT_EQ(line["attributes"][1]["value"]["stringValue"], "j\n1");
  EXPECT_EQ(line["resource"]["attributes"][0]["key"], "service.name");
  EXPECT_EQ(line["resource"]["attributes"][0]["value"]["stringValue"], "swage-worker");
}

TEST(JsonLines, LinesOfThreadsAndSinksDoNotMix) {
  const TempDir dir;
  const std::string path = JoinPath(dir.path(), "t.jsonl");
  {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        auto sink = NewJsonLinesSink(path);  // its own descriptor, as another process has
        ASSERT_TRUE(sink.ok());
        Tracer tracer("x", Clock::Real(), std::move(*sink));
        for (int i = 0; i < 200; ++i) tracer.Start("s", {}, {{"long", std::string(2000, 'a')}});
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  std::ifstream in(path);
  int spans = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) continue;  // docs/formats/trace.md: a sink that was opened while another one wrote
    ASSERT_FALSE(json::parse(line, nullptr, false).is_discarded()) << line;
    ++spans;
  }
  EXPECT_EQ(spans, 800);
}

TEST(JsonLines, ATornLineOfADeadProcessIsClosed) {
  const TempDir dir;
  const std::string path = JoinPath(dir.path(), "t.jsonl");
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, "{\"traceId\":\"ab").ok());
  {
    auto sink = NewJsonLinesSink(path);
    ASSERT_TRUE(sink.ok());
    Tracer tracer("x", Clock::Real(), std::move(*sink));
    tracer.Start("s", {});
  }
  const auto lines = LinesOf(path);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_TRUE(lines[0].is_discarded());
  EXPECT_EQ(lines[1]["name"], "s");
}

TEST(JsonLines, LongAttributesAreCut) {
  const TempDir dir;
  const std::string path = JoinPath(dir.path(), "t.jsonl");
  {
    auto sink = NewJsonLinesSink(path);
    ASSERT_TRUE(sink.ok());
    Tracer tracer("x", Clock::Real(), std::move(*sink));
    tracer.Start("s", {}, {{"a", std::string(1 << 20, 'a')}});
  }
  EXPECT_LT(*Env::Posix()->FileSize(path), 10000u);
  EXPECT_FALSE(NewJsonLinesSink("/no/such/folder/t").ok());
}

}  // namespace
}  // namespace swage
