// Control's view of jobs over the memory state store; the test plays the leader.
#include "services/control/directory.h"

#include <gtest/gtest.h>

namespace swage {
namespace {

class DirectoryTest : public ::testing::Test {
 protected:
  NewJob Fresh(const std::string& request_id = "", const std::string& digest = "d") {
    NewJob created;
    AdmittedJob& job = created.job;
    job.id = directory_.NewId();
    job.tenant = "default";
    job.model = "models/tiny";
    job.create_unix_nanos = clock_.UnixNanos();
    job.request_id = request_id;
    created.spec_digest = digest;
    return created;
  }
  std::string Made(JobState state = JobState::kQueued) {
    const NewJob created = Fresh();
    EXPECT_TRUE(directory_.Create(created).ok());
    if (state != JobState::kQueued) Lead(created.job.id, state);
    return created.job.id;
  }
  // What the leader does.
  void Lead(const std::string& id, JobState state) {
    const std::string key = JobKey("default", id);
    const auto stored = state_->Get(key);
    ASSERT_TRUE(stored.ok() && *stored);
    JobRecord record = *JobRecordFromJson((*stored)->value);
    record.state = state;
    Transaction transaction;
    transaction.writes.push_back({key, (*stored)->version, ToJson(record)});
    ASSERT_EQ(state_->Apply(transaction), ApplyResult::kOk);
  }
  size_t Jobs() { return state_->Scan(JobKey("default", ""), "", 100)->size(); }
  size_t Requests() { return state_->Scan(RequestKey("default", ""), "", 100)->size(); }

  std::shared_ptr<StateStore> state_ = NewMemoryStateStore();
  ManualClock clock_;
  JobDirectory directory_{state_, &clock_};
};

TEST_F(DirectoryTest, AJobIsThereBeforeAndAfterTheLeaderHasWrittenIt) {
  const std::string id = Made();
  auto entry = directory_.Get("default", id);
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->record.state, JobState::kQueued);
  EXPECT_EQ(entry->record.pending_reason, kWaitsForTurn);
  Lead(id, JobState::kRunning);
  entry = directory_.Get("default", id);
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(entry->record.state, JobState::kRunning);
  EXPECT_EQ(entry->record.pending_reason, "");
  EXPECT_EQ(ReasonOf(directory_.Get("other", id).status()), "JOB_NOT_FOUND");
}

// The record and its first event come together: by that event the leader finds it.
TEST_F(DirectoryTest, CreatingTellsTheLeader) {
  const NewJob job = Fresh("r1");
  ASSERT_TRUE(directory_.Create(job).ok());
  const auto events = state_->ReadEvents(0, 10);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ((*events)[0].stream, JobStream("default", job.job.id));
  EXPECT_EQ((*events)[0].stream_sequence, 1u);
  const auto event = JobEventFromJson((*events)[0].value);
  EXPECT_EQ(event->state, JobState::kQueued);
  EXPECT_EQ(event->kind, "state");
}

TEST_F(DirectoryTest, ARequestIdMakesOneJobAndIsBoundToItsSpec) {
  const NewJob first = Fresh("r1", "same"), second = Fresh("r1", "same"), other = Fresh("r1", "another");
  EXPECT_EQ(*directory_.Create(first), first.job.id);
  EXPECT_EQ(*directory_.Create(second), first.job.id);
  EXPECT_EQ(Jobs(), 1u);
  EXPECT_EQ(ReasonOf(directory_.Create(other).status()), "REQUEST_ID_REUSED");
  clock_.AdvanceMillis(25ll * 3600 * 1000);
  EXPECT_EQ(*directory_.Create(other), other.job.id);  // forgotten after a day
}

TEST_F(DirectoryTest, JobsMadeTogetherAreEachOnTheirOwn) {
  const NewJob known = Fresh("old", "one");
  ASSERT_TRUE(directory_.Create(known).ok());
  const std::vector<NewJob> jobs = {Fresh("new"), Fresh("old", "one"), Fresh("old", "two"), Fresh("new"), Fresh()};
  const auto ids = directory_.CreateAll(jobs);
  ASSERT_EQ(ids.size(), jobs.size());
  EXPECT_EQ(*ids[0], jobs[0].job.id);
  EXPECT_EQ(*ids[1], known.job.id);
  EXPECT_EQ(ReasonOf(ids[2].status()), "REQUEST_ID_REUSED");
  EXPECT_EQ(*ids[3], jobs[0].job.id);  // its twin of the same lot
  EXPECT_EQ(*ids[4], jobs[4].job.id);
  EXPECT_EQ(Jobs(), 3u);
}

TEST_F(DirectoryTest, PagesGoThroughAllJobsOnce) {
  std::vector<std::string> made;
  for (int i = 0; i < 25; ++i) {
    made.push_back(Made(i < 17 ? JobState::kRunning : JobState::kQueued));
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
    made.insert(made.begin(), Made());
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
    Made(i % 2 ? JobState::kRunning : JobState::kSucceeded);
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
  const std::string over = Made(JobState::kSucceeded);
  for (const char* kind : {"cancel", "pause", "resume", "retry"}) {
    EXPECT_EQ(ReasonOf(directory_.Act(kind, "default", over, "", 0)), "WRONG_STATE") << kind;
  }
  EXPECT_TRUE(directory_.Act("delete", "default", over, "", 0).ok());
  EXPECT_EQ(Requests(), 1u);

  const std::string paused = Made(JobState::kPaused);
  EXPECT_TRUE(directory_.Act("pause", "default", paused, "", 0).ok());
  EXPECT_EQ(Requests(), 1u);
  EXPECT_TRUE(directory_.Act("resume", "default", paused, "", 0).ok());
  EXPECT_EQ(ReasonOf(directory_.Act("delete", "default", paused, "", 0)), "WRONG_STATE");
  EXPECT_EQ(Requests(), 2u);
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
