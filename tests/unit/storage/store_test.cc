#include <gmock/gmock.h>

#include <thread>

#include "base/limits.h"
#include "tests/unit/storage/store_fixture.h"

namespace swage {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kFrame = limits::kFrameBytes;

TEST_F(StoreTest, WhatGoesInComesOutForEverySizeAroundAFrame) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{4096}, size_t{kFrame - 1}, size_t{kFrame}, size_t{kFrame + 1},
                            size_t{3 * kFrame + 17}}) {
    const std::string bytes = WeightBytes(size, size);
    ASSERT_TRUE(Put("default", "up", bytes).ok()) << size;
    EXPECT_EQ(*ReadObject("default", Sha256Of(bytes)), bytes) << size;
  }
}

TEST_F(StoreTest, RangesReadTheSameBytes) {
  const std::string bytes = WeightBytes(1, 2 * kFrame + 1000);
  ASSERT_TRUE(Put("default", "up", bytes).ok());
  auto source = store_->OpenObject("default", Sha256Of(bytes));
  ASSERT_TRUE(source.ok());
  Rng rng(3);
  for (int i = 0; i < 200; ++i) {
    const size_t offset = rng.Uniform(bytes.size() + 1);
    const size_t size = rng.Uniform(std::min<size_t>(bytes.size() - offset, 70000) + 1);
    std::string out(size, '\0');
    ASSERT_TRUE((*source)->Read(offset, size, out.data()).ok());
    ASSERT_EQ(out, bytes.substr(offset, size)) << offset << " " << size;
  }
  char c;
  EXPECT_EQ(ReasonOf((*source)->Read(bytes.size(), 1, &c)), "RANGE_BEYOND_END");
  EXPECT_EQ(ReasonOf((*source)->Read(UINT64_MAX, 1, &c)), "RANGE_BEYOND_END");
}

TEST_F(StoreTest, LiesAreRefusedAndLeaveNothing) {
  const std::string bytes = WeightBytes(1, 5000);
  const size_t files_before = env_.Files().size();
  EXPECT_EQ(ReasonOf(store_->PutBytes("default", "up", Sha256Of("other"), bytes)), "DIGEST_MISMATCH");
  {
    auto stream = *store_->NewUpload("default", "up");
    ASSERT_TRUE(stream->Begin(Sha256Of(bytes), 100, 0).ok());
    EXPECT_EQ(ReasonOf(stream->Append(bytes)), "SIZE_EXCEEDED");
    EXPECT_EQ(ReasonOf(stream->Begin(Sha256Of(bytes), bytes.size(), 0)), "SIZE_EXCEEDED") << "an upload that failed takes no more";
  }
  {
    auto stream = *store_->NewUpload("default", "up");
    ASSERT_TRUE(stream->Begin(Sha256Of(bytes), bytes.size() + 1, 0).ok());
    ASSERT_TRUE(stream->Append(bytes).ok());
    EXPECT_EQ(ReasonOf(stream->Finish().status()), "OBJECT_INCOMPLETE");
  }
  {
    auto stream = *store_->NewUpload("default", "up");
    EXPECT_EQ(ReasonOf(stream->Begin(Sha256Of(bytes), 1ull << 63, 0)), "BAD_SIZE");
  }
  EXPECT_EQ(env_.Files().size(), files_before);
  EXPECT_EQ(ReasonOf(ReadObject("default", Sha256Of(bytes)).status()), "OBJECT_MISSING");
}

TEST_F(StoreTest, AWriteGoesOnWhereItWasCutAlsoAfterARestart) {
  const std::string bytes = WeightBytes(1, 5 * kFrame + 99);
  const Digest digest = Sha256Of(bytes);
  {
    auto stream = *store_->NewUpload("default", "up");
    ASSERT_TRUE(stream->Begin(digest, bytes.size(), 0).ok());
    ASSERT_TRUE(stream->Append(std::string_view(bytes).substr(0, 2 * kFrame + 500)).ok());
  }
  Reopen();
  WriteState state = *store_->QueryWrite("default", "up", digest);
  EXPECT_FALSE(state.complete);
  EXPECT_EQ(state.committed_bytes, 2 * kFrame) << "whole frames are kept";
  {
    auto stream = *store_->NewUpload("default", "up");
    EXPECT_EQ(ReasonOf(stream->Begin(digest, bytes.size(), 3 * kFrame)), "OFFSET_MISMATCH");
  }
  auto stream = *store_->NewUpload("default", "up");
  ASSERT_TRUE(stream->Begin(digest, bytes.size(), state.committed_bytes).ok());
  ASSERT_TRUE(stream->Append(std::string_view(bytes).substr(state.committed_bytes)).ok());
  ASSERT_TRUE(stream->Finish().ok());
  EXPECT_EQ(*ReadObject("default", digest), bytes);
  state = *store_->QueryWrite("default", "up", digest);
  EXPECT_TRUE(state.complete);
  EXPECT_EQ(state.committed_bytes, bytes.size());
}

TEST_F(StoreTest, ADamagedPartIsCutWhereItIsDamaged) {
  const std::string bytes = WeightBytes(1, 3 * kFrame);
  const Digest digest = Sha256Of(bytes);
  {
    auto stream = *store_->NewUpload("default", "up");
    ASSERT_TRUE(stream->Begin(digest, bytes.size(), 0).ok());
    ASSERT_TRUE(stream->Append(std::string_view(bytes).substr(0, 2 * kFrame)).ok());
  }
  const std::string part = Cat("/disk/store/uploads/default/up/", digest.Hex(), ".part");
  env_.FlipBit(part, env_.Files()[part] * 8 - 3);  // in the second frame
  {
    auto stream = *store_->NewUpload("default", "up");
    EXPECT_EQ(ReasonOf(stream->Begin(digest, bytes.size(), 2 * kFrame)), "OFFSET_MISMATCH");
  }
  EXPECT_EQ(store_->QueryWrite("default", "up", digest)->committed_bytes, kFrame);
}

TEST_F(StoreTest, EqualObjectsAreStoredOnce) {
  const std::string bytes = WeightBytes(1, 100000);
  ASSERT_TRUE(Put("default", "one", bytes).ok());
  ASSERT_TRUE(Put("default", "two", bytes).ok());
  ASSERT_TRUE(Put("other", "three", bytes).ok());
  EXPECT_EQ(ObjectFiles(), 1u);
}

TEST_F(StoreTest, ATenantLearnsNothingOfAnothers) {
  const TestModel model = MakeTestModel({{WeightBytes(1, 1000), WeightBytes(2, 500)}});
  ASSERT_TRUE(PutModel("alice", model, "models/tiny").ok());
  const Digest digest = Sha256Of(model.objects[0]);
  EXPECT_EQ(store_->FindMissing("bob", "up", std::span(&digest, 1))->size(), 1u);
  EXPECT_FALSE(store_->QueryWrite("bob", "up", digest)->complete);
  EXPECT_EQ(ReasonOf(store_->OpenObject("bob", digest).status()), "OBJECT_MISSING");
  EXPECT_EQ(ReasonOf(store_->Commit("bob", "up", model.json(), "").status()), "OBJECT_MISSING");
  EXPECT_EQ(ReasonOf(store_->GetArtifact("bob", model.id()).status()), "ARTIFACT_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store_->GetArtifact("bob", "models/tiny").status()), "ARTIFACT_NOT_FOUND");
  // He must prove that he has the bytes, not only their name.
  EXPECT_EQ(ReasonOf(store_->PutBytes("bob", "up", digest, WeightBytes(9, 1000))), "DIGEST_MISMATCH");
  EXPECT_EQ(ReasonOf(store_->OpenObject("bob", digest).status()), "OBJECT_MISSING");
  ASSERT_TRUE(PutObjects("bob", "up", model).ok());
  EXPECT_TRUE(store_->Commit("bob", "up", model.json(), "").ok());
  EXPECT_EQ(*ReadFileOf("bob", model.id(), "file-0.bin"), model.FileBytes(0));
}

TEST_F(StoreTest, ACommitNeedsEveryObjectWithItsSizeAndTrueFileDigests) {
  TestModel model = MakeTestModel({{WeightBytes(1, 1000), WeightBytes(2, 500)}, {}});
  ASSERT_TRUE(Put("default", "up", model.objects[0]).ok());
  const Status missing = store_->Commit("default", "up", model.json(), "").status();
  EXPECT_EQ(ReasonOf(missing), "OBJECT_MISSING");
  EXPECT_THAT(MessageOf(missing), HasSubstr(Sha256Of(model.objects[1]).Hex()));
  ASSERT_TRUE(Put("default", "up", model.objects[1]).ok());

  TestModel lying = model;
  std::swap(lying.manifest.files[0].parts[0].object, lying.manifest.files[0].parts[1].object);
  EXPECT_EQ(ReasonOf(store_->Commit("default", "up", lying.json(), "").status()), "SIZE_MISMATCH");
  lying = model;
  lying.manifest.files[0].sha256 = Sha256Of("something else");
  EXPECT_EQ(ReasonOf(store_->Commit("default", "up", lying.json(), "").status()), "DIGEST_MISMATCH");
  lying = model;
  lying.manifest.files[1].sha256 = Sha256Of("not empty");
  EXPECT_EQ(ReasonOf(store_->Commit("default", "up", lying.json(), "").status()), "DIGEST_MISMATCH");
  EXPECT_FALSE(store_->Commit("default", "up", model.json() + " ", "").ok());
  EXPECT_TRUE(store_->ListArtifacts("default", 0, "")->artifacts.empty());

  EXPECT_TRUE(store_->Commit("default", "up", model.json(), "models/tiny").ok());
  EXPECT_EQ(*ReadFileOf("default", "models/tiny", "file-0.bin"), model.FileBytes(0));
  EXPECT_EQ(*ReadFileOf("default", "models/tiny@v1", "file-1.bin"), "");
  EXPECT_EQ(ReasonOf(ReadFileOf("default", "models/tiny", "nothing").status()), "FILE_NOT_FOUND");
}

TEST_F(StoreTest, AliasesHaveVersionsAndTheBareNameIsTheNewest) {
  const TestModel one = MakeTestModel({{"one"}}), two = MakeTestModel({{"two"}});
  ASSERT_TRUE(PutModel("default", one, "models/tiny").ok());
  ASSERT_TRUE(PutModel("default", one, "models/tiny").ok()) << "the same again is the same version";
  ASSERT_TRUE(PutModel("default", two, "models/tiny").ok());
  EXPECT_EQ(store_->GetArtifact("default", "models/tiny@v1")->id.Hex(), one.id());
  EXPECT_EQ(store_->GetArtifact("default", "models/tiny")->id.Hex(), two.id());
  EXPECT_THAT(store_->GetArtifact("default", two.id())->aliases, ::testing::ElementsAre("models/tiny@v2", "models/tiny"));
  ASSERT_TRUE(store_->SetAlias("default", "models/tiny", one.id()).ok());
  EXPECT_EQ(store_->GetArtifact("default", "models/tiny@v3")->id.Hex(), one.id());
  for (const char* bad : {"models/tiny@v3", "../x", "a//b", "/a", "a b", "x@", ""}) {
    EXPECT_FALSE(store_->SetAlias("default", bad, one.id()).ok()) << bad;
  }
}

TEST_F(StoreTest, AnArtifactIsDeletedByItsLastNameAndThenItsBytesAreGarbage) {
  const TestModel one = MakeTestModel({{WeightBytes(1, 1000), "shared"}}), two = MakeTestModel({{WeightBytes(2, 1000), "shared"}});
  ASSERT_TRUE(PutModel("default", one, "models/tiny").ok());
  ASSERT_TRUE(PutModel("default", two, "models/tiny").ok());
  EXPECT_EQ(ReasonOf(store_->DeleteArtifact("default", one.id())), "ARTIFACT_HAS_ALIAS");
  EXPECT_EQ(ReasonOf(store_->DeleteArtifact("default", "models/tiny")), "ALIAS_HAS_VERSIONS");
  ASSERT_TRUE(store_->DeleteArtifact("default", "models/tiny@v1").ok());
  EXPECT_EQ(ReasonOf(store_->GetArtifact("default", one.id()).status()), "ARTIFACT_NOT_FOUND");
  clock_.AdvanceMillis(limits::kLeaseOfObjectsMs + 1);
  const GarbageTotals counted = *store_->CollectGarbage(true);
  EXPECT_EQ(counted.objects, 2u) << "one's weights and its manifest";
  EXPECT_EQ(ObjectFiles(), 5u) << "a dry run changes nothing";
  const GarbageTotals collected = *store_->CollectGarbage(false);
  EXPECT_EQ(collected.objects, counted.objects);
  EXPECT_EQ(collected.bytes, counted.bytes);
  EXPECT_EQ(ObjectFiles(), 3u);
  EXPECT_EQ(*ReadFileOf("default", "models/tiny", "file-0.bin"), two.FileBytes(0));
  EXPECT_EQ(store_->CollectGarbage(false)->objects, 0u);
}

TEST_F(StoreTest, WhatFindMissingCallsPresentSurvivesGarbageCollection) {
  const TestModel model = MakeTestModel({{WeightBytes(1, 1000), "part"}});
  ASSERT_TRUE(PutModel("default", model, "").ok());
  const Digest digest = Sha256Of(model.objects[0]);
  ASSERT_TRUE(store_->FindMissing("default", "next", std::span(&digest, 1))->empty());
  ASSERT_TRUE(store_->DeleteArtifact("default", model.id()).ok());
  ASSERT_TRUE(store_->CollectGarbage(false).ok());
  EXPECT_TRUE(ReadObject("default", digest).ok());
  clock_.AdvanceMillis(limits::kLeaseOfObjectsMs + 1);
  ASSERT_TRUE(store_->CollectGarbage(false).ok());
  EXPECT_EQ(ReasonOf(ReadObject("default", digest).status()), "OBJECT_MISSING");
}

TEST_F(StoreTest, GarbageCollectionLeavesAnOpenUploadAlone) {
  const std::string bytes = WeightBytes(1, 2 * kFrame);
  auto stream = *store_->NewUpload("default", "slow");
  ASSERT_TRUE(stream->Begin(Sha256Of("first"), 5, 0).ok());
  ASSERT_TRUE(stream->Append("first").ok());
  ASSERT_TRUE(stream->Begin(Sha256Of(bytes), bytes.size(), 0).ok());
  ASSERT_TRUE(stream->Append(std::string_view(bytes).substr(0, kFrame)).ok());
  clock_.AdvanceMillis(3 * limits::kLeaseOfObjectsMs);
  ASSERT_TRUE(store_->CollectGarbage(false).ok());
  ASSERT_TRUE(stream->Append(std::string_view(bytes).substr(kFrame)).ok());
  ASSERT_TRUE(stream->Finish().ok());
  EXPECT_EQ(*ReadObject("default", Sha256Of(bytes)), bytes);
  EXPECT_EQ(*ReadObject("default", Sha256Of("first")), "first");
}

TEST_F(StoreTest, AnAbandonedUploadIsCollectedWithItsFolder) {
  const std::string bytes = WeightBytes(1, 2 * kFrame);
  {
    auto stream = *store_->NewUpload("default", "lost");
    ASSERT_TRUE(stream->Begin(Sha256Of(bytes), bytes.size(), 0).ok());
    ASSERT_TRUE(stream->Append(std::string_view(bytes).substr(0, kFrame)).ok());
  }
  EXPECT_TRUE(env_.Exists("/disk/store/uploads/default/lost"));
  clock_.AdvanceMillis(limits::kLeaseOfObjectsMs + 1);
  Reopen();
  EXPECT_FALSE(env_.Exists("/disk/store/uploads/default/lost"));
}

TEST_F(StoreTest, ManySmallObjectsShareTheirFolderSyncs) {
  ASSERT_TRUE(Put("default", "up", "warm").ok());
  const int64_t before = env_.dir_syncs();
  auto stream = *store_->NewUpload("default", "up");
  for (int i = 0; i < 600; ++i) {
    const std::string bytes = WeightBytes(1000 + i, 300);
    ASSERT_TRUE(stream->Begin(Sha256Of(bytes), bytes.size(), 0).ok());
    ASSERT_TRUE(stream->Append(bytes).ok());
  }
  ASSERT_TRUE(stream->Finish().ok());
  EXPECT_LT(env_.dir_syncs() - before, 600);
}

TEST_F(StoreTest, ConcurrentWritersOfOneDigestAllSucceed) {
  const std::string bytes = WeightBytes(1, 2 * kFrame + 5);
  std::vector<std::thread> threads;
  std::vector<Status> results(8);
  for (int i = 0; i < 8; ++i) {
    // Half of them share one upload id.
    threads.emplace_back([&, i] { results[i] = Put("default", i % 2 == 0 ? "same" : Cat("up", i), bytes); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Status& result : results) EXPECT_TRUE(result.ok()) << result;
  EXPECT_EQ(*ReadObject("default", Sha256Of(bytes)), bytes);
  EXPECT_EQ(ObjectFiles(), 1u);
  for (const auto& [path, size] : env_.Files()) EXPECT_THAT(path, ::testing::Not(HasSubstr(".part"))) << "a part was left";
}

TEST_F(StoreTest, AFullDiskIsSaidAndTheStoreStaysReadable) {
  const TestModel model = MakeTestModel({{WeightBytes(1, 1000)}});
  ASSERT_TRUE(PutModel("default", model, "models/tiny").ok());
  const std::string bytes = WeightBytes(2, 4 * kFrame);
  env_.SetCapacity(80 << 20);
  ASSERT_TRUE(Put("default", "up", bytes).ok());
  env_.SetCapacity(66 << 20);  // less than the reserve beside what is there
  Status full = Put("default", "up", WeightBytes(3, 4 * kFrame));
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(full), "DISK_FULL");
  // It may also run full in the middle of a write that was admitted.
  env_.SetCapacity(1ull << 40);
  auto stream = *store_->NewUpload("default", "up");
  const std::string large = WeightBytes(4, 4 * kFrame);
  ASSERT_TRUE(stream->Begin(Sha256Of(large), large.size(), 0).ok());
  env_.SetCapacity(1 << 20);
  EXPECT_EQ(ReasonOf(stream->Append(large)), "DISK_FULL");
  EXPECT_EQ(ReasonOf(stream->Finish().status()), "DISK_FULL");
  stream.reset();
  for (const auto& [path, size] : env_.Files()) EXPECT_THAT(path, ::testing::Not(HasSubstr(".part"))) << "room was not given back";
  EXPECT_EQ(*ReadFileOf("default", "models/tiny", "file-0.bin"), model.FileBytes(0));
  EXPECT_EQ(ReasonOf(ReadObject("default", Sha256Of(large)).status()), "OBJECT_MISSING");
}

TEST_F(StoreTest, ALimitOfBytesIsKept) {
  config_.max_bytes = 100000;
  Reopen();
  ASSERT_TRUE(Put("default", "up", WeightBytes(1, 60000)).ok());
  EXPECT_EQ(ReasonOf(Put("default", "up", WeightBytes(2, 60000))), "STORE_FULL");
  clock_.AdvanceMillis(limits::kLeaseOfObjectsMs + 1);
  ASSERT_TRUE(store_->CollectGarbage(false).ok());
  EXPECT_TRUE(Put("default", "up", WeightBytes(2, 60000)).ok());
}

TEST_F(StoreTest, DamageIsNamedNeverReturnedAndRepairedByAnotherUpload) {
  const std::string bytes = WeightBytes(1, 2 * kFrame);
  const Digest digest = Sha256Of(bytes);
  ASSERT_TRUE(Put("default", "up", bytes).ok());
  const std::string path = Cat("/disk/store/", StorePaths::ObjectFile(digest));
  const uint64_t bits = env_.Files()[path] * 8;
  Rng rng(5);
  for (int i = 0; i < 60; ++i) {
    // All regions: head, frames, table, footer.
    const uint64_t bit = i < 20 ? rng.Uniform(128) : i < 40 ? bits - 1 - rng.Uniform(160 * 8) : rng.Uniform(bits);
    env_.FlipBit(path, bit);
    const auto read = ReadObject("default", digest);
    EXPECT_EQ(read.status().code(), StatusCode::kDataLoss) << "bit " << bit;
    EXPECT_THAT(MessageOf(read.status()), HasSubstr(digest.Hex()));
    EXPECT_EQ(store_->FindMissing("default", "up", std::span(&digest, 1))->size(), 1u) << "damaged counts as missing";
    ASSERT_TRUE(Put("default", "up", bytes).ok());
    EXPECT_EQ(*ReadObject("default", digest), bytes);
  }
  ASSERT_TRUE(env_.Remove(path).ok());
  EXPECT_EQ(ReadObject("default", digest).status().code(), StatusCode::kDataLoss);
}

TEST_F(StoreTest, OneProcessAtATime) {
  EXPECT_EQ(ReasonOf(Store::Open(config_).status()), "LOCKED");
}

TEST_F(StoreTest, ListingIsPaged) {
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(PutModel("default", MakeTestModel({{Cat("model ", i)}}), "").ok());
  std::set<std::string> seen;
  std::string token;
  int pages = 0;
  do {
    const ArtifactPage page = *store_->ListArtifacts("default", 10, token);
    for (const ArtifactRecord& record : page.artifacts) EXPECT_TRUE(seen.insert(record.id.Hex()).second);
    token = page.next_page_token;
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(seen.size(), 25u);
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(ReasonOf(store_->ListArtifacts("default", 10, "x").status()), "BAD_PAGE_TOKEN");
}

}  // namespace
}  // namespace swage
