#include <gtest/gtest.h>

#include "base/limits.h"
#include "workers/job/child.h"

namespace swage {
namespace {

TEST(ChildProtocol, ARunComesBackAsItWasSent) {
  EngineRequest request;
  request.model_dir = "/m \"quoted\"\n";
  request.recipe_json = "{\"steps\": []}";
  request.texts = {{"cal.txt", "/cache/1"}, {"test.txt", "/cache/2"}};
  request.out_dir = "/out";
  request.scratch_dir = "/scratch";
  request.model_digest = Sha256Of("m");
  request.text_digests = {{"cal.txt", Sha256Of("c")}};
  request.threads = 3;
  request.memory_limit_bytes = uint64_t{1} << 40;
  request.keep_checkpoint = true;
  request.devices = {"GPU-1"};
  request.rank = 1;
  request.world = 2;
  request.peers = {"a:1", "b:2"};
  request.trace_parent = SpanContext::NewTrace();
  const std::string line = EncodeRun(request, "/t.jsonl", "jobs/x", 2);
  EXPECT_EQ(line.find('\n'), std::string::npos) << "a message is one line";
  auto run = DecodeRun(line);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->request.model_dir, request.model_dir);
  EXPECT_EQ(run->request.recipe_json, request.recipe_json);
  EXPECT_EQ(run->request.texts, request.texts);
  EXPECT_EQ(run->request.out_dir, request.out_dir);
  EXPECT_EQ(run->request.scratch_dir, request.scratch_dir);
  EXPECT_EQ(run->request.model_digest, request.model_digest);
  EXPECT_EQ(run->request.text_digests, request.text_digests);
  EXPECT_EQ(run->request.threads, 3);
  EXPECT_EQ(run->request.memory_limit_bytes, uint64_t{1} << 40);
  EXPECT_EQ(run->request.trace_parent.ToTraceparent(), request.trace_parent.ToTraceparent());
  EXPECT_TRUE(run->request.keep_checkpoint);
  EXPECT_EQ(run->request.devices, request.devices);
  EXPECT_EQ(run->request.rank, 1);
  EXPECT_EQ(run->request.world, 2);
  EXPECT_EQ(run->request.peers, request.peers);
  EXPECT_EQ(run->trace_file, "/t.jsonl");
  EXPECT_EQ(run->job, "jobs/x");
  EXPECT_EQ(run->attempt, 2);
}

TEST(ChildProtocol, WhatMembersOfAGangSayIsBytes) {
  ChildMessage said;
  said.kind = ChildMessage::Kind::kRendezvous;
  said.rendezvous = std::string("\0\x7f\xff\n", 4);
  const auto decoded = DecodeMessage(EncodeMessage(said));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->kind, ChildMessage::Kind::kRendezvous);
  EXPECT_EQ(decoded->rendezvous, said.rendezvous);
  const std::vector<std::string> all = {said.rendezvous, "", "other"};
  const auto gathered = DecodeGathered(EncodeGathered(all));
  ASSERT_TRUE(gathered.ok()) << gathered.status();
  EXPECT_EQ(*gathered, all);
  for (const char* bad : {R"({"gathered":[7]})", R"({"gathered":["0"]})", R"({"gathered":["zz"]})", R"({"stop":true})"})
    EXPECT_EQ(ReasonOf(DecodeGathered(bad).status()), "CHILD_PROTOCOL") << bad;
  EXPECT_FALSE(DecodeGathered("{\"gathered\":[\"" + std::string(2 * limits::kRendezvousBytes + 2, '0') + "\"]}").ok());
}

TEST(ChildProtocol, MessagesComeBackAsTheyWereSent) {
  ChildMessage progress;
  progress.progress = {"block[3]", 0.25, 12.5, "half \"way\"", 123456};
  auto decoded = DecodeMessage(EncodeMessage(progress));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->kind, ChildMessage::Kind::kProgress);
  EXPECT_EQ(decoded->progress.stage, "block[3]");
  EXPECT_EQ(decoded->progress.fraction, 0.25);
  EXPECT_EQ(decoded->progress.eta_seconds, 12.5);
  EXPECT_EQ(decoded->progress.message, "half \"way\"");
  EXPECT_EQ(decoded->progress.peak_bytes, 123456u);

  ChildMessage done;
  done.kind = ChildMessage::Kind::kDone;
  done.report_bytes = 42;
  decoded = DecodeMessage(EncodeMessage(done));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->kind, ChildMessage::Kind::kDone);
  EXPECT_EQ(decoded->report_bytes, 42u);

  ChildMessage failed;
  failed.kind = ChildMessage::Kind::kFailed;
  failed.failure = Error(StatusCode::kResourceExhausted, "DISK_FULL", "no room", "free some");
  decoded = DecodeMessage(EncodeMessage(failed));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->kind, ChildMessage::Kind::kFailed);
  EXPECT_EQ(decoded->failure.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(decoded->failure), "DISK_FULL");
  EXPECT_EQ(MessageOf(decoded->failure), "no room");
  EXPECT_EQ(NextStepOf(decoded->failure), "free some");
}

TEST(ChildProtocol, OtherLinesAreErrors) {
  for (const char* line : {"", "x", "[]", "{}", "{\"progress\": 1}", "{\"failed\": {\"code\": 5}}",
                           "{\"done\": {}}"}) {
    EXPECT_EQ(ReasonOf(DecodeMessage(line).status()), "CHILD_PROTOCOL") << line;
    EXPECT_EQ(ReasonOf(DecodeRun(line).status()), "CHILD_PROTOCOL") << line;
  }
}

}  // namespace
}  // namespace swage
