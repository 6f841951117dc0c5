// Results of jobs: prepared, published once, reconciled; and the index rebuilt from what lies on disk.
#include <gmock/gmock.h>

#include "base/limits.h"
#include "tests/unit/storage/store_fixture.h"

namespace swage {
namespace {

const ResultToken kToken{1, 1, 0xfedcba9876543210u};

class PublishTest : public StoreTest {
 protected:
  StatusOr<Digest> PrepareModel(const std::string& job, const TestModel& model, const ResultToken& token = kToken) {
    SWAGE_RETURN_IF_ERROR(PutObjects("default", "worker", model));
    return store_->Prepare("default", "worker", job, token, model.json());
  }
  StatusOr<ArtifactRecord> Publish(const std::string& job, const TestModel& model, uint64_t incarnation = 1) {
    return store_->Publish("default", job, kToken, incarnation, model.id(), Cat("jobs/", job));
  }
  const TestModel one_ = MakeTestModel({{WeightBytes(1, 1000), "tail"}});
  const TestModel two_ = MakeTestModel({{WeightBytes(2, 1000), "tail"}});
};

TEST_F(PublishTest, APreparedResultIsInvisibleUntilPublished) {
  ASSERT_TRUE(PrepareModel("j1", one_).ok());
  EXPECT_EQ(ReasonOf(store_->GetArtifact("default", one_.id()).status()), "ARTIFACT_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store_->GetManifest("default", one_.id()).status()), "ARTIFACT_NOT_FOUND");
  EXPECT_TRUE(store_->ListArtifacts("default", 0, "")->artifacts.empty());
  const ArtifactRecord record = *Publish("j1", one_);
  EXPECT_EQ(record.job, "j1");
  EXPECT_THAT(record.aliases, ::testing::ElementsAre("jobs/j1@v1", "jobs/j1"));
  EXPECT_EQ(*ReadFileOf("default", "jobs/j1", "file-0.bin"), one_.FileBytes(0));
}

TEST_F(PublishTest, AJobPublishesExactlyOneResult) {
  ASSERT_TRUE(PrepareModel("j1", one_).ok());
  ASSERT_TRUE(PrepareModel("j1", two_, {1, 2, 7}).ok());
  ASSERT_TRUE(Publish("j1", two_).ok());
  EXPECT_TRUE(Publish("j1", two_).ok()) << "the call made again";
  const Status other = Publish("j1", one_).status();
  EXPECT_EQ(ReasonOf(other), "ALREADY_PUBLISHED");
  EXPECT_THAT(MessageOf(other), ::testing::HasSubstr(two_.id()));
  EXPECT_EQ(ReasonOf(PrepareModel("j1", one_).status()), "ALREADY_PUBLISHED");
  EXPECT_EQ(store_->ListArtifacts("default", 0, "")->artifacts.size(), 1u);
  EXPECT_EQ(store_->GetArtifact("default", "jobs/j1")->aliases.size(), 2u) << "no second version";
}

TEST_F(PublishTest, AStaleLeaderIsRefusedAlsoAfterARestart) {
  ASSERT_TRUE(PrepareModel("j1", one_).ok());
  EXPECT_EQ(store_->Reconcile(5, "")->highest_incarnation, 5u);
  Reopen();
  EXPECT_EQ(ReasonOf(Publish("j1", one_, 4).status()), "STALE_LEADER");
  EXPECT_EQ(store_->Reconcile(0, "")->highest_incarnation, 5u);
  EXPECT_TRUE(Publish("j1", one_, 6).ok());
  EXPECT_EQ(ReasonOf(Publish("j1", one_, 5).status()), "STALE_LEADER");
}

TEST_F(PublishTest, OnlyWhatWasPreparedCanBePublished) {
  EXPECT_EQ(ReasonOf(Publish("j1", one_).status()), "NOT_PREPARED");
  ASSERT_TRUE(PrepareModel("j2", one_).ok());
  EXPECT_EQ(ReasonOf(Publish("j1", one_).status()), "NOT_PREPARED");
  EXPECT_TRUE(store_->Reconcile(0, "")->published.empty());
}

TEST_F(PublishTest, ReconcilingListsEveryPublishedJobInPages) {
  for (int i = 0; i < 7; ++i) {
    const TestModel model = MakeTestModel({{Cat("result ", i)}});
    ASSERT_TRUE(PrepareModel(Cat("j", i), model).ok());
    ASSERT_TRUE(Publish(Cat("j", i), model).ok());
  }
  std::vector<std::string> jobs;
  std::string after;
  do {
    const PublishedPage page = *store_->Reconcile(1, after, 3);
    for (const PublishedEntry& entry : page.published) {
      jobs.push_back(entry.job);
      EXPECT_EQ(entry.token, kToken);
    }
    after = page.next_after;
  } while (!after.empty());
  EXPECT_THAT(jobs, ::testing::ElementsAre("j0", "j1", "j2", "j3", "j4", "j5", "j6"));
}

TEST_F(PublishTest, WhatWasPreparedAndNeverPublishedIsCollectedAfterItsGrace) {
  ASSERT_TRUE(PrepareModel("j1", one_).ok());
  clock_.AdvanceMillis(limits::kLeaseOfObjectsMs / 2);
  Reopen();  // the leader may have been unable to reach us: the grace starts again
  clock_.AdvanceMillis(limits::kLeaseOfObjectsMs - 1000);
  ASSERT_TRUE(store_->CollectGarbage(false).ok());
  EXPECT_EQ(ObjectFiles(), 3u);
  clock_.AdvanceMillis(2000);
  EXPECT_EQ(store_->CollectGarbage(true)->objects, 3u);
  EXPECT_EQ(store_->CollectGarbage(false)->objects, 3u);
  EXPECT_EQ(ObjectFiles(), 0u);
  EXPECT_EQ(ReasonOf(Publish("j1", one_).status()), "NOT_PREPARED");
}

TEST_F(PublishTest, TheLoserOfAJobIsCollected) {
  ASSERT_TRUE(PrepareModel("j1", one_).ok());
  ASSERT_TRUE(PrepareModel("j1", two_).ok());
  ASSERT_TRUE(Publish("j1", two_).ok());
  clock_.AdvanceMillis(limits::kLeaseOfObjectsMs + 1000);
  EXPECT_EQ(store_->CollectGarbage(false)->objects, 2u) << "its weights and its manifest; the tail is shared";
  EXPECT_EQ(*ReadFileOf("default", "jobs/j1", "file-0.bin"), two_.FileBytes(0));
}

TEST_F(PublishTest, TheIndexIsRebuiltFromWhatLiesOnDisk) {
  ASSERT_TRUE(PutModel("default", one_, "models/a").ok());
  ASSERT_TRUE(PutModel("default", two_, "models/a").ok());
  ASSERT_TRUE(store_->DeleteArtifact("default", "models/a@v1").ok());
  ASSERT_TRUE(PutModel("alice", one_, "x").ok());
  const TestModel result = MakeTestModel({{"result"}}), waiting = MakeTestModel({{"waiting"}});
  ASSERT_TRUE(PrepareModel("j1", result).ok());
  ASSERT_TRUE(Publish("j1", result, 3).ok());
  ASSERT_TRUE(PrepareModel("j2", waiting).ok());
  ASSERT_TRUE(store_->Reconcile(9, "").ok());
  const ArtifactRecord before = *store_->GetArtifact("default", "models/a");
  LoseIndex();
  Reopen();
  const ArtifactRecord after = *store_->GetArtifact("default", "models/a");
  EXPECT_EQ(after.id, before.id);
  EXPECT_EQ(after.kind, before.kind);
  EXPECT_EQ(after.aliases, before.aliases);
  EXPECT_EQ(after.total_bytes, before.total_bytes);
  EXPECT_EQ(after.stored_bytes, before.stored_bytes);
  EXPECT_EQ(after.files, before.files);
  EXPECT_EQ(after.objects, before.objects);
  EXPECT_EQ(after.create_unix_nanos, before.create_unix_nanos);
  EXPECT_EQ(ReasonOf(store_->GetArtifact("default", "models/a@v1").status()), "ARTIFACT_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store_->GetArtifact("default", one_.id()).status()), "ARTIFACT_NOT_FOUND");
  EXPECT_EQ(*ReadFileOf("alice", "x@v1", "file-0.bin"), one_.FileBytes(0));
  EXPECT_EQ(store_->GetArtifact("default", "jobs/j1")->job, "j1");
  EXPECT_EQ(store_->Reconcile(0, "")->highest_incarnation, 9u);
  EXPECT_EQ(ReasonOf(store_->Publish("default", "j1", kToken, 9, one_.id(), "").status()), "ALREADY_PUBLISHED");
  EXPECT_TRUE(store_->Publish("default", "j2", kToken, 9, waiting.id(), "").ok());
  // Names go on counting where they were.
  ASSERT_TRUE(PutModel("default", one_, "models/a").ok());
  EXPECT_EQ(store_->GetArtifact("default", one_.id())->aliases.front(), "models/a@v3");
}

TEST_F(PublishTest, ACorruptIndexIsSetAsideAndRebuilt) {
  ASSERT_TRUE(PutModel("default", one_, "models/a").ok());
  store_.reset();
  Env::Posix()->Remove(Cat(config_.index_path, "-wal")).IgnoreError();
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), config_.index_path, std::string(8192, 'x')).ok());
  Reopen();
  EXPECT_EQ(*ReadFileOf("default", "models/a", "file-0.bin"), one_.FileBytes(0));
}

TEST_F(PublishTest, AnArtifactThatLostAnObjectIsHiddenAndHealedByUploadingItAgain) {
  ASSERT_TRUE(PutModel("default", one_, "models/a").ok());
  ASSERT_TRUE(env_.Remove(Cat("/disk/store/", StorePaths::ObjectFile(Sha256Of(one_.objects[0])))).ok());
  LoseIndex();
  Reopen();
  EXPECT_EQ(ReasonOf(store_->GetArtifact("default", "models/a").status()), "ARTIFACT_NOT_FOUND");
  clock_.AdvanceMillis(limits::kLeaseOfObjectsMs + 1000);
  ASSERT_TRUE(store_->CollectGarbage(false).ok());
  EXPECT_EQ(ObjectFiles(), 2u) << "what is left of it is kept";
  ASSERT_TRUE(PutModel("default", one_, "").ok());
  EXPECT_EQ(*ReadFileOf("default", "models/a", "file-0.bin"), one_.FileBytes(0));
}

}  // namespace
}  // namespace swage
