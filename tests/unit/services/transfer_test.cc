// ArtifactClient against the real store.
#include <filesystem>
#include <fstream>
#include <future>

#include "base/digest.h"
#include "tests/unit/services/platform_fixture.h"

namespace swage {
namespace {

std::string Bytes(const std::string& path) { return *ReadFile(Env::Posix(), path, 1ull << 30); }

TEST_F(PlatformTest, ADownloadIsByteIdenticalAndASecondUploadSendsNothing) {
  Transfer last;
  const auto progress = [&](const Transfer& transfer) { last = transfer; };
  const auto first = store_->UploadFolder(kModelDir, "model", "models/tiny", progress);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(last.done, last.total);
  EXPECT_EQ(last.skipped, 0u);
  const auto second = store_->UploadFolder(kModelDir, "model", "models/tiny", progress);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(last.skipped, last.total);
  EXPECT_EQ(second->id, first->id);

  const std::string out = JoinPath(dir_.path(), "out");
  ASSERT_TRUE(store_->Download("models/tiny", out, progress).ok());
  EXPECT_EQ(last.done, first->total_bytes);
  for (const auto& file : std::filesystem::directory_iterator(kModelDir)) {
    EXPECT_EQ(Bytes(file.path()), Bytes(JoinPath(out, file.path().filename().string()))) << file.path();
  }
  ASSERT_TRUE(store_->Download("models/tiny", out, progress).ok());
  EXPECT_EQ(last.skipped, first->total_bytes);
}

TEST_F(PlatformTest, AHalfFileIsResumedAndAWrongOneReplaced) {
  UploadModel();
  const std::string out = JoinPath(dir_.path(), "out");
  ASSERT_TRUE(store_->Download("models/tiny", out, nullptr).ok());
  const std::string weights = JoinPath(out, "model.safetensors"), whole = Bytes(weights);
  // As an interrupted download leaves it: the first half written, the rest a hole.
  std::filesystem::remove(weights);
  { std::ofstream(weights + ".part", std::ios::binary) << whole.substr(0, whole.size() / 2); }
  std::string config = Bytes(JoinPath(out, "config.json"));
  config[10] ^= 1;
  { std::ofstream(JoinPath(out, "config.json"), std::ios::binary) << config; }
  Transfer last;
  ASSERT_TRUE(store_->Download("models/tiny", out, [&](const Transfer& t) { last = t; }).ok());
  EXPECT_EQ(Bytes(weights), whole);
  EXPECT_EQ(Bytes(JoinPath(out, "config.json")), Bytes(JoinPath(kModelDir, "config.json")));
  EXPECT_GT(last.skipped, whole.size() / 3);
  EXPECT_LT(last.skipped, whole.size());
  EXPECT_FALSE(std::filesystem::exists(weights + ".part"));
}

TEST_F(PlatformTest, ObjectsAreReadWholeOrInRangesAndUnknownOnesSaySo) {
  UploadModel();
  const std::string config = Bytes(JoinPath(kModelDir, "config.json"));
  EXPECT_EQ(*store_->ReadObject(Sha256Of(config), 1 << 20), config);
  EXPECT_EQ(ReasonOf(store_->ReadObject(Sha256Of(config), 10).status()), "OBJECT_TOO_LARGE");
  EXPECT_EQ(*store_->ReadRange("models/tiny", "config.json", 5, 20), config.substr(5, 20));
  EXPECT_EQ(store_->ObjectSize(Sha256Of("nobody has this")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->Get("models/none").status().code(), StatusCode::kNotFound);
}

TEST_F(PlatformTest, AnUploadGoesOnWhenTheStoreComesBack) {
  ArtifactClient patient(platform_->address(), "default", 20000);
  Stop();
  auto result = std::async(std::launch::async, [&] { return patient.UploadFolder(kModelDir, "model", "models/late", nullptr); });
  Start();
  const auto uploaded = result.get();
  EXPECT_TRUE(uploaded.ok()) << uploaded.status();
}

TEST_F(PlatformTest, ACancelledTransferEndsAtOnce) {
  ArtifactClient client(platform_->address(), "default", 20000);
  client.Cancel();
  EXPECT_EQ(client.Get("models/tiny").status().code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace swage
