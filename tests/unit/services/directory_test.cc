// Control's view of jobs over the memory state store; the test plays the leader.
#include "services/control/directory.h"

#include <gtest/gtest.h>

namespace swage {
namespace {

class DirectoryTest : public ::testing::Test {
 protected:
  AdmittedJob NewJob() {
    AdmittedJob job;
    job.id = directory_.NewId();
    job.tenant = "default";
    job.model = "models/tiny";
    job.create_unix_nanos = clock_.UnixNanos();
    return job;
  }
  // What the leader does with a create request.
  void ApplyCreate(const std::string& id, JobState state = JobState::kQueued) {
    const std::string key = RequestKey("default", id);
    const auto stored = state_->Get(key);
    ASSERT_TRUE(stored.ok() && *stored);
    JobRecord record;
    record.job = RequestFromJson((*stored)->value)->job;
    record.state = state;
    Transaction transaction;
    transaction.writes.push_back({key, (*stored)->version, std::nullopt});
    transaction.writes.push_back({JobKey("default", id), 0, ToJson(record)});
    ASSERT_EQ(state_->Apply(transaction), ApplyResult::kOk);
  }
  std::vector<Request> Requests() {
    std::vector<Request> found;
    const auto records = state_->Scan(RequestKey("default", ""), "", 100);
    for (const Record& record : *records) found.push_back(*RequestFromJson(record.value));
    return found;
  }

  std::shared_ptr<StateStore> state_ = NewMemoryStateStore();
  ManualClock clock_;
  JobDirectory directory_{state_, &clock_};
};

TEST_F(DirectoryTest, AJobIsThereBeforeAndAfterTheLeaderHasSeenIt) {
  const AdmittedJob job = NewJob();
  ASSERT_EQ(*directory_.Create(job, {}, "", "d"), job.id);
  auto entry = directory_.Get("default", job.id);
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->record.state, JobState::kQueued);
  EXPECT_EQ(entry->version, 0u);
  EXPECT_EQ(entry->record.pending_reason, "WAITING_FOR_SCHEDULER");
  ApplyCreate(job.id, JobState::kRunning);
  entry = directory_.Get("default", job.id);
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(entry->record.state, JobState::kRunning);
  EXPECT_EQ(entry->version, 1u);
  EXPECT_EQ(ReasonOf(directory_.Get("other", job.id).status()), "JOB_NOT_FOUND");
}

TEST_F(DirectoryTest, CreatingWakesTheLeader) {
  const AdmittedJob job = NewJob();
  ASSERT_TRUE(directory_.Create(job, {}, "r1", "d").ok());
  const auto events = state_->ReadStream(std::string(kRequestStream), 0, 10);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ((*events)[0].value, RequestKey("default", job.id));
}

TEST_F(DirectoryTest, ARequestIdMakesOneJobAndIsBoundToItsSpec) {
  const AdmittedJob first = NewJob(), second = NewJob();
  EXPECT_EQ(*directory_.Create(first, {}, "r1", "same"), first.id);
  EXPECT_EQ(*directory_.Create(second, {}, "r1", "same"), first.id);
  EXPECT_EQ(Requests().size(), 1u);
  EXPECT_EQ(ReasonOf(directory_.Create(second, {}, "r1", "another").status()), "REQUEST_ID_REUSED");
  clock_.AdvanceMillis(25ll * 3600 * 1000);
  EXPECT_EQ(*directory_.Create(second, {}, "r1", "another"), second.id);  // forgotten after a day
}

TEST_F(DirectoryTest, PagesGoThroughAllJobsOnceAppliedOrNot) {
  std::vector<std::string> made;
  for (int i = 0; i < 25; ++i) {
    const AdmittedJob job = NewJob();
    ASSERT_TRUE(directory_.Create(job, {}, "", "d").ok());
    if (i < 17) ApplyCreate(job.id);
    made.push_back(job.id);
    clock_.AdvanceMillis(1);
  }
  std::vector<std::string> seen;
  std::string token;
  do {
    const auto page = directory_.List("default", {}, 4, token);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_LE(page->jobs.size(), 4u);
    for (const JobEntry& entry : page->jobs) seen.push_back(entry.record.job.id);
    token = page->next_page_token;
  } while (!token.empty());
  EXPECT_EQ(seen, made);
}

TEST_F(DirectoryTest, TheNewestComeFirstWhenAsked) {
  std::vector<std::string> made;
  for (int i = 0; i < 450; ++i) {  // more than are read at once
    const AdmittedJob job = NewJob();
    ASSERT_TRUE(directory_.Create(job, {}, "", "d").ok());
    if (i % 5 != 0) ApplyCreate(job.id);
    made.insert(made.begin(), job.id);
    clock_.AdvanceMillis(1);
  }
  std::vector<std::string> seen;
  std::string token;
  do {
    const auto page = directory_.List("default", {}, 60, token, true);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const JobEntry& entry : page->jobs) seen.push_back(entry.record.job.id);
    token = page->next_page_token;
    if (token.empty()) continue;
    EXPECT_EQ(ReasonOf(directory_.List("default", {}, 60, token, false).status()), "BAD_PAGE_TOKEN");
  } while (!token.empty());
  EXPECT_EQ(seen, made);
}

TEST_F(DirectoryTest, StatesFilterAndATokenIsGoodForItsListingOnly) {
  for (int i = 0; i < 6; ++i) {
    const AdmittedJob job = NewJob();
    ASSERT_TRUE(directory_.Create(job, {}, "", "d").ok());
    ApplyCreate(job.id, i % 2 ? JobState::kRunning : JobState::kSucceeded);
  }
  const auto running = directory_.List("default", {JobState::kRunning}, 2, "");
  ASSERT_TRUE(running.ok());
  ASSERT_EQ(running->jobs.size(), 2u);
  EXPECT_EQ(running->jobs[0].record.state, JobState::kRunning);
  ASSERT_FALSE(running->next_page_token.empty());
  EXPECT_EQ(directory_.List("default", {JobState::kRunning}, 2, running->next_page_token)->jobs.size(), 1u);
  EXPECT_EQ(ReasonOf(directory_.List("default", {}, 2, running->next_page_token).status()), "BAD_PAGE_TOKEN");
  EXPECT_EQ(ReasonOf(directory_.List("x", {JobState::kRunning}, 2, running->next_page_token).status()), "BAD_PAGE_TOKEN");
  EXPECT_EQ(ReasonOf(directory_.List("default", {}, -1, "").status()), "BAD_PAGE_SIZE");
}

TEST_F(DirectoryTest, WhatTheStateForbidsIsRefusedAndWhatHoldsAlreadyWritesNothing) {
  const AdmittedJob job = NewJob();
  ASSERT_TRUE(directory_.Create(job, {}, "", "d").ok());
  ApplyCreate(job.id, JobState::kSucceeded);
  for (const char* kind : {"cancel", "pause", "resume", "retry"}) {
    EXPECT_EQ(ReasonOf(directory_.Act(kind, "default", job.id, "", 0)), "WRONG_STATE") << kind;
  }
  EXPECT_TRUE(directory_.Act("delete", "default", job.id, "", 0).ok());
  EXPECT_EQ(Requests().size(), 1u);

  const AdmittedJob paused = NewJob();
  ASSERT_TRUE(directory_.Create(paused, {}, "", "d").ok());
  ApplyCreate(paused.id, JobState::kPaused);
  EXPECT_TRUE(directory_.Act("pause", "default", paused.id, "", 0).ok());
  EXPECT_EQ(Requests().size(), 1u);
  EXPECT_TRUE(directory_.Act("resume", "default", paused.id, "", 0).ok());
  EXPECT_EQ(ReasonOf(directory_.Act("delete", "default", paused.id, "", 0)), "WRONG_STATE");
  EXPECT_EQ(Requests().size(), 2u);
}

TEST_F(DirectoryTest, TheLastSequenceIsFoundWhateverItIs) {
  for (const int wanted : {0, 1, 2, 3, 7, 8, 9, 100}) {
    const std::string id = directory_.NewId();
    for (int i = 0; i < wanted; ++i) {
      Transaction transaction;
      transaction.events.push_back({JobStream("default", id), "{}"});
      ASSERT_EQ(state_->Apply(transaction), ApplyResult::kOk);
    }
    EXPECT_EQ(*directory_.LastSequence("default", id), static_cast<uint64_t>(wanted));
  }
}

}  // namespace
}  // namespace swage
