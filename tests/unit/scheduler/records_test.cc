#include "scheduler/core/records.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/core/reason.h"

namespace swage {
namespace {

JobRecord FullRecord() {
  JobRecord r;
  r.job.id = "01h";
  r.job.tenant = "default";
  r.job.model = "models/tiny";
  r.job.after = {"01g", "01f"};
  r.job.preemptible = false;
  r.job.shape = {{"gptq", "rtn"}, 1ull << 40, "cuda", 2, 1ull << 36, {"sm_90"}, 4};
  r.job.action_key = "aa";
  r.job.priority = -7;
  r.job.create_unix_nanos = 1700000000000000001;
  r.message = "says \"x\"\n and \xff";
  r.state = JobState::kRunning;
  r.epoch = 3;
  r.token = {5, 3, 0xffffffffffffffffull};
  r.members = {{"w", "b", {{"cpu0", 12}, {"gpu0", 7}}}, {"v", "c", {{"cpu0", 12}}}};
  r.started = true;
  r.crashes = 2;
  r.crash_stage = "block[3] 0.25";
  r.user_failures = 2;
  r.progress = {"block[3]", "m", 0.25, 12.5, 77};
  r.attempts = {{1, "w0", 1, 2, "WORKER_LOST", "gone", "load"}, {3, "w", 5, 0, "", "", ""}};
  r.artifact = "abc";
  return r;
}

TEST(Records, AJobSurvivesItsJson) {
  const std::string json = ToJson(FullRecord());
  auto read = JobRecordFromJson(json);
  ASSERT_TRUE(read.ok()) << MessageOf(read.status());
  EXPECT_EQ(ToJson(*read), json);
  EXPECT_EQ(read->token.random, 0xffffffffffffffffull);
  EXPECT_EQ(read->job.priority, -7);
  EXPECT_EQ(read->attempts.size(), 2u);
  EXPECT_EQ(read->state, JobState::kRunning);
}

TEST(Records, OtherRecordsSurviveTheirJson) {
  Request request{"cancel", "t", "j", "why"};
  EXPECT_EQ(ToJson(*RequestFromJson(ToJson(request))), ToJson(request));
  JobEventRecord event{"state", 5, JobState::kFailed, "R", "M", "A", 9, {"load", "", 1, -1, 0}};
  EXPECT_EQ(ToJson(*JobEventFromJson(ToJson(event))), ToJson(event));
  RequestIdRecord id{"j", "d", 4};
  EXPECT_EQ(ToJson(*RequestIdFromJson(ToJson(id))), ToJson(id));
  WorkerRecord worker{"w/1", true, {{"gpu0", "xid 79"}}};
  EXPECT_EQ(ToJson(*WorkerRecordFromJson(ToJson(worker))), ToJson(worker));
}

TEST(Records, AFieldOfAnotherTypeIsAnError) {
  const std::string good = ToJson(FullRecord());
  const std::pair<const char*, const char*> changes[] = {
      {"\"epoch\":3,\"token", "\"epoch\":-3,\"token"},
      {"\"state\":\"RUNNING\"", "\"state\":\"DANCING\""},
      {"\"state\":\"RUNNING\"", "\"state\":3"},
      {"\"priority\":-7", "\"priority\":3000000000"},
      {"\"id\":\"01h\"", "\"id\":\"\""},
      {"\"user_failures\":2", "\"user_failures\":\"2\""},
      {"\"cpu0\":12", "\"cpu0\":\"12\""},
      {"\"gang\":4", "\"gang\":0"},
      {"[\"01g\"", "[7,\"01g\""},
      {"\"attempts\":[{", "\"attempts\":[4,{"}};
  for (const auto& [from, to] : changes) {
    std::string bad = good;
    const size_t at = bad.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    bad.replace(at, std::string(from).size(), to);
    EXPECT_EQ(ReasonOf(JobRecordFromJson(bad).status()), "RECORD_MALFORMED") << to;
  }
  for (const char* bad : {"", "{", "[]", "null", "{}", "{\"job\":{}}"}) {
    EXPECT_FALSE(JobRecordFromJson(bad).ok()) << bad;
    EXPECT_FALSE(RequestFromJson(bad).ok()) << bad;
  }
}

TEST(Records, FieldsOfANewerVersionAreSkipped) {
  std::string json = ToJson(FullRecord());
  json.insert(1, "\"from_the_future\":[1],");
  EXPECT_TRUE(JobRecordFromJson(json).ok());
}

TEST(Records, BytesThatAreNotUtf8DoNotBreakTheRecord) {
  JobRecord r = FullRecord();
  r.message = "\xff\xfe broken";
  r.progress.fraction = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(JobRecordFromJson(ToJson(r)).ok());
}

TEST(Records, KeysComeApart) {
  const std::string key = WorkerKey("rack/7");
  const KeyParts parts = SplitKey(key);
  EXPECT_EQ(parts.tenant, "-");
  EXPECT_EQ(parts.kind, "worker");
  EXPECT_EQ(parts.name, "rack/7");
  EXPECT_EQ(SplitKey("nothing/here").kind, "");
}

TEST(Reasons, EachHasItsOwnNameAndIsParsedBack) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(kLastReason); ++i) {
    const Reason reason = static_cast<Reason>(i);
    EXPECT_TRUE(names.insert(ReasonName(reason)).second) << ReasonName(reason);
    EXPECT_EQ(ParseReason(ReasonName(reason)), reason);
    EXPECT_FALSE(PolicyOf(reason).text.empty());
    EXPECT_TRUE(IsFinal(PolicyOf(reason).final_state));
  }
  EXPECT_EQ(ParseReason("NEVER_HEARD_OF"), Reason::kInternal);
}

TEST(Reasons, WhatIsOursIsNeverChargedToTheUser) {
  for (Reason ours :
       {Reason::kWorkerLost, Reason::kWorkerRestarted, Reason::kLeaseLost, Reason::kChildKilled,
        Reason::kStoreUnavailable, Reason::kStoreFull, Reason::kResultMissing}) {
    EXPECT_EQ(PolicyOf(ours).budget, Budget::kInfra) << ReasonName(ours);
    EXPECT_TRUE(PolicyOf(ours).retryable);
  }
  for (Reason never_again :
       {Reason::kOomReal, Reason::kInputMissing, Reason::kInputCorrupt, Reason::kInvalidSpec}) {
    EXPECT_FALSE(PolicyOf(never_again).retryable) << ReasonName(never_again);
  }
}

}  // namespace
}  // namespace swage
