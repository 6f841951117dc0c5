#include "tests/unit/services/platform_fixture.h"

#include <filesystem>

namespace swage {

EmbeddedOptions PlatformTest::Options() const {
  EmbeddedOptions options;
  options.data_dir = JoinPath(dir_.path(), "data");
  options.child_executable = child_;
  options.threads_per_job = 1;
  options.lease_ms = 2000;
  return options;
}

void PlatformTest::UseEngine() {
  Stop();
  child_ = SWAGE_WORKER;
  Start();
}

void PlatformTest::Start() {
  auto platform = EmbeddedPlatform::Start(Options());
  ASSERT_TRUE(platform.ok()) << platform.status();
  platform_ = *std::move(platform);
  store_ = std::make_unique<ArtifactClient>(platform_->address(), "default");
  JobClientOptions options;
  options.address = [address = platform_->address()] { return StatusOr<std::string>(address); };
  options.tenant = "default";
  jobs_ = std::make_unique<JobClient>(options);
}

void PlatformTest::Stop() {
  jobs_.reset();
  store_.reset();
  platform_.reset();
}

void PlatformTest::UploadModel() {
  const auto uploaded = store_->UploadFolder(kModelDir, "model", "models/tiny", nullptr);
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
}

std::string PlatformTest::UploadText(uint64_t bytes) {
  const auto text = ReadFile(Env::Posix(), "tests/data/texts/tinystories-val-160k.txt", 1 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  const std::string path = JoinPath(dir_.path(), Cat("text-", bytes));
  EXPECT_TRUE(WriteFileAtomic(Env::Posix(), path, text->substr(0, bytes)).ok());
  const auto digest = store_->UploadFile(path, "test-upload");
  EXPECT_TRUE(digest.ok()) << digest.status();
  return digest.ok() ? digest->Hex() : "";
}

Submission PlatformTest::SmallJob(int seed) {
  Submission job;
  job.model = "models/tiny";
  job.recipe_yaml =
      Cat("steps:\n- {kind: quantize, method: rtn, format: int4, granularity: group, group_size: 128}\n"
          "evaluate: {text: t.txt, window: 128, max_windows: 2}\nseed: ", seed, "\n");
  job.files["t.txt"] = UploadText(4000);
  return job;
}

JobView PlatformTest::WatchToEnd(const std::string& name) {
  const auto job = jobs_->Watch(name, 0, {[](const EventView&) {}, [](const Status&) {}, [] {}});
  EXPECT_TRUE(job.ok()) << job.status();
  return job.ok() ? *job : JobView{};
}

std::string CopyOfModel(const std::string& to) {
  std::filesystem::create_directories(to);
  for (const auto& file : std::filesystem::directory_iterator(kModelDir)) {
    std::filesystem::copy(file.path(), std::filesystem::path(to) / file.path().filename());
    std::filesystem::permissions(std::filesystem::path(to) / file.path().filename(), std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
  }
  return to;
}

}  // namespace swage
