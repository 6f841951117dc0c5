// A job that is stopped on one worker goes on where it was on another: two worker daemons beside the platform's own,
// which is drained, with the real engine.
#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "clients/cli/admin_client.h"
#include "tests/unit/services/platform_fixture.h"
#include "workers/daemon/checkpoint_share.h"
#include "workers/daemon/worker_daemon.h"

namespace swage {
namespace {

class HandoverTest : public PlatformTest {
 protected:
  void SetUp() override {
    Start();
    UseEngine();
    UploadModel();
  }
  void TearDown() override {
    ::unsetenv("SWAGE_HOLD");
    const auto jobs = jobs_->List(100);
    for (const JobView& job : *jobs) {
      if (!IsFinalState(job.state)) (void)jobs_->Act(JobClient::Action::kCancel, job.name);
    }
    JoinWatches();
    Stop();
  }

  std::unique_ptr<WorkerDaemon> StartWorker(const std::string& name, int64_t share_every_ms = 60000,
                                            int drain_seconds = 0) {
    WorkerOptions options;
    options.drain_seconds = drain_seconds;
    options.share_every_ms = share_every_ms;
    options.data_dir = JoinPath(dir_.path(), name);
    options.scheduler_address = options.store_address = platform_->address();
    options.child_executable = child_;
    options.trace_file = Trace(name);
    options.threads_per_job = 1;
    auto worker = WorkerDaemon::Start(options);
    EXPECT_TRUE(worker.ok()) << worker.status();
    return worker.ok() ? *std::move(worker) : nullptr;
  }
  std::unique_ptr<AdminClient> Admin() {
    AdminClientOptions options;
    options.addresses = [this] { return StatusOr<std::string>(platform_->address()); };
    return std::make_unique<AdminClient>(options);
  }
  std::string Trace(const std::string& name) { return JoinPath(dir_.path(), Cat(name, ".jsonl")); }
  bool Computed(const std::string& worker, int block) {
    const auto text = ReadFile(Env::Posix(), Trace(worker), 16 << 20);
    return text.ok() && text->find(Cat("\"block[", block, "]\"")) != std::string::npos;
  }
  void DrainPlatformsOwn() {
    const auto workers = Admin()->Workers();
    ASSERT_TRUE(workers.ok()) << workers.status();
    ASSERT_EQ(workers->size(), 1u);
    ASSERT_TRUE(Admin()->Drain((*workers)[0].worker_id, true, false).ok());
  }
  // Watches until the job is in `stage`.
  void AwaitStage(const std::string& job, const std::string& stage) {
    struct Seen {  // outlives this call: the watch goes on to the job's end
      std::mutex mutex;
      std::condition_variable changed;
      bool there = false;
    };
    const auto seen = std::make_shared<Seen>();
    JobClientOptions options;
    options.address = [this] { return StatusOr<std::string>(platform_->address()); };
    options.tenant = "default";
    watches_.emplace_back([seen, options, job, stage] {
      JobClient client(options);
      WatchCallbacks callbacks{[&](const EventView& event) {
                                 std::lock_guard<std::mutex> lock(seen->mutex);
                                 seen->there = seen->there || event.progress.stage == stage;
                                 seen->changed.notify_all();
                               },
                               [](const Status&) {}, [] {}};
      (void)client.Watch(job, 0, callbacks);
    });
    std::unique_lock<std::mutex> lock(seen->mutex);
    ASSERT_TRUE(seen->changed.wait_for(lock, std::chrono::seconds(60), [&] { return seen->there; }));
  }
  // There is no event to wait for.
  static void AwaitTrue(const std::function<bool()>& done) {
    std::mutex mutex;
    std::condition_variable never;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::unique_lock<std::mutex> lock(mutex);
      never.wait_for(lock, std::chrono::milliseconds(20));
    }
  }
  void JoinWatches() {
    for (std::thread& watch : watches_) watch.join();
    watches_.clear();
  }
  // What does not tell of time: report.json holds measured seconds.
  std::map<std::string, Digest> Content(const std::string& artifact) {
    std::map<std::string, Digest> content;
    const auto manifest = store_->GetManifest(artifact);
    EXPECT_TRUE(manifest.ok()) << manifest.status();
    if (!manifest.ok()) return content;
    for (const ManifestFile& file : manifest->files) {
      if (!StartsWith(file.path, "report")) {
        for (const FilePart& part : file.parts) content[Cat(file.path, "@", part.offset)] = part.object;
      }
    }
    return content;
  }
  size_t Checkpoints() {
    const auto list = store_->List();
    EXPECT_TRUE(list.ok());
    return static_cast<size_t>(std::count_if(list->begin(), list->end(), [](const auto& a) { return a.kind == "checkpoint"; }));
  }

  std::vector<std::thread> watches_;
};

TEST_F(HandoverTest, AJobStoppedOnOneWorkerGoesOnAtTheSameBlockOnAnother) {
  const auto reference = jobs_->Create(SmallJob(), "whole");
  ASSERT_TRUE(reference.ok()) << reference.status();
  const JobView whole = WatchToEnd(reference->name);
  ASSERT_EQ(whole.state, "SUCCEEDED") << whole.message;
  DrainPlatformsOwn();

  ::setenv("SWAGE_HOLD", "block[3]:3000", 1);
  auto a = StartWorker("a");
  Submission again = SmallJob();
  again.skip_cache = true;
  const auto created = jobs_->Create(again, "moved");
  ASSERT_TRUE(created.ok()) << created.status();
  AwaitStage(created->name, "block[3]");
  ASSERT_TRUE(jobs_->Act(JobClient::Action::kPause, created->name).ok());
  a->Drain();  // returns when the scheduler has heard of the checkpoint
  EXPECT_EQ(Checkpoints(), 1u);
  EXPECT_TRUE(Computed("a", 2));

  ::unsetenv("SWAGE_HOLD");
  auto b = StartWorker("b");
  ASSERT_TRUE(jobs_->Act(JobClient::Action::kResume, created->name).ok());
  const JobView moved = WatchToEnd(created->name);
  ASSERT_EQ(moved.state, "SUCCEEDED") << moved.message;
  JoinWatches();
  EXPECT_EQ(moved.attempts.size(), 2u);
  for (int block = 0; block < 6; ++block) EXPECT_EQ(Computed("b", block), block >= 3) << block;
  EXPECT_EQ(Content(moved.artifact), Content(whole.artifact));
  b->Drain();
  EXPECT_EQ(Checkpoints(), 0u) << "deleted once the result was accepted";
}

// With the other worker idle all the while: it must not be given the job before the checkpoint is there.
TEST_F(HandoverTest, AnEvictedJobGoesOnElsewhereFromWhatItWroteOnItsWayOut) {
  DrainPlatformsOwn();
  ::setenv("SWAGE_HOLD", "block[2]:2000", 1);
  auto a = StartWorker("a");
  const auto created = jobs_->Create(SmallJob(), "moved");
  ASSERT_TRUE(created.ok()) << created.status();
  AwaitStage(created->name, "block[2]");
  ::unsetenv("SWAGE_HOLD");
  auto b = StartWorker("b");
  ASSERT_TRUE(Admin()->Drain(a->worker_id(), true, /*evict=*/true).ok());
  const JobView moved = WatchToEnd(created->name);
  JoinWatches();
  ASSERT_EQ(moved.state, "SUCCEEDED") << moved.message;
  ASSERT_EQ(moved.attempts.size(), 2u);
  EXPECT_EQ(moved.attempts[0].reason, "DRAINED");
  EXPECT_FALSE(Computed("b", 1));
  EXPECT_TRUE(Computed("b", 2));
}

// SIGTERM to a daemon that does not wait for its jobs.
TEST_F(HandoverTest, ADrainedWorkersJobGoesOnElsewhere) {
  DrainPlatformsOwn();
  ::setenv("SWAGE_HOLD", "block[2]:2000", 1);
  auto a = StartWorker("a");
  const auto created = jobs_->Create(SmallJob(), "moved");
  ASSERT_TRUE(created.ok()) << created.status();
  AwaitStage(created->name, "block[2]");
  ::unsetenv("SWAGE_HOLD");
  a->Drain();
  a.reset();
  auto b = StartWorker("b");
  const JobView moved = WatchToEnd(created->name);
  JoinWatches();
  ASSERT_EQ(moved.state, "SUCCEEDED") << moved.message;
  ASSERT_EQ(moved.attempts.size(), 2u);
  EXPECT_EQ(moved.attempts[0].reason, "DRAINED");
  EXPECT_FALSE(Computed("b", 1));
  EXPECT_TRUE(Computed("b", 2));
}

TEST_F(HandoverTest, ADrainThatWaitsLetsTheJobEndWhereItIs) {
  DrainPlatformsOwn();
  ::setenv("SWAGE_HOLD", "block[2]:1500", 1);
  auto a = StartWorker("a", 60000, /*drain_seconds=*/-1);
  const auto created = jobs_->Create(SmallJob(), "stays");
  ASSERT_TRUE(created.ok()) << created.status();
  AwaitStage(created->name, "block[2]");
  a->Drain();
  const JobView job = WatchToEnd(created->name);
  JoinWatches();
  EXPECT_EQ(job.state, "SUCCEEDED") << job.message;
  EXPECT_EQ(job.attempts.size(), 1u);
}

// No farewell: the scheduler waits for the end of the lease.
TEST_F(HandoverTest, AMachineThatIsLostCostsTheBlocksSinceItsLastSharedCheckpoint) {
  DrainPlatformsOwn();
  ::setenv("SWAGE_HOLD", "block[4]:20000", 1);
  auto a = StartWorker("a", /*share_every_ms=*/0);
  const std::string a_id = a->worker_id();
  const auto created = jobs_->Create(SmallJob(), "moved");
  ASSERT_TRUE(created.ok()) << created.status();
  AwaitStage(created->name, "block[4]");
  AwaitTrue([&] { return Checkpoints() >= 1; });
  const int64_t shared = Clock::Real()->UnixNanos();
  AwaitTrue([&] {  // it has told the scheduler meanwhile
    const auto workers = Admin()->Workers();
    return workers.ok() && std::any_of(workers->begin(), workers->end(), [&](const WorkerEntry& worker) {
             return worker.worker_id == a_id && worker.last_seen_unix_nanos > shared + 500'000'000;
           });
  });
  ::unsetenv("SWAGE_HOLD");
  a.reset();
  auto b = StartWorker("b");
  const JobView moved = WatchToEnd(created->name);
  JoinWatches();
  ASSERT_EQ(moved.state, "SUCCEEDED") << moved.message;
  EXPECT_EQ(moved.attempts[0].reason, "WORKER_LOST");
  EXPECT_FALSE(Computed("b", 0));
  EXPECT_TRUE(Computed("b", 5));
}

class CheckpointShareTest : public PlatformTest {
 protected:
  std::string Folder(const std::string& name, const std::map<std::string, std::string>& files) {
    const std::string folder = JoinPath(dir_.path(), name);
    EXPECT_TRUE(Env::Posix()->CreateDirs(folder).ok());
    for (const auto& [file, text] : files) EXPECT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(folder, file), text).ok());
    return folder;
  }
  CheckpointShare Share(const std::string& work) {
    return CheckpointShare(Env::Posix(), platform_->address(), "default", work, work + "-share");
  }
  // A file of no tensors.
  static std::string Block(const std::string& name) {
    const std::string header = Cat("{\"__metadata__\":{\"block\":\"", name, "\"}}");
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(header.size());
    return bytes + header;
  }
  std::vector<std::string> Names(const std::string& folder) {
    std::vector<std::string> names;
    const auto entries = Env::Posix()->ListDir(folder);
    for (const DirEntry& entry : *entries) {
      if (entry.name != "lock") names.push_back(entry.name);
    }
    return names;
  }
};

TEST_F(CheckpointShareTest, SharesWhatIsNewAndTakesOverWhatIsMore) {
  const std::string from = Folder("from", {{"state.json", "{1}"}, {"block-0.safetensors", Block("0")}, {"lock", ""}, {"x.tmp", "y"}});
  CheckpointShare share = Share(from);
  const auto first = share.Share();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->size(), 64u);
  EXPECT_EQ(*share.Share(), "") << "nothing new";
  Folder("from", {{"state.json", "{2}"}, {"block-1.safetensors", Block("1")}});
  const auto second = share.Share();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(*second, *first);

  const std::string to = JoinPath(dir_.path(), "to");
  CheckpointShare other = Share(to);
  other.TakeOver(*second);
  EXPECT_EQ(Names(to), (std::vector<std::string>{"block-0.safetensors", "block-1.safetensors", "state.json"}));
  EXPECT_EQ(*other.Share(), "") << "it is in the store already";
  other.TakeOver(*first);  // fewer blocks than what is here
  EXPECT_EQ(*ReadFile(Env::Posix(), JoinPath(to, "state.json"), 100), "{2}");
}

TEST_F(CheckpointShareTest, WhatIsNoCheckpointIsIgnored) {
  UploadModel();
  const std::string to = JoinPath(dir_.path(), "to");
  CheckpointShare share = Share(to);
  share.TakeOver(store_->Get("models/tiny")->id);
  share.TakeOver(std::string(64, 'a'));
  share.TakeOver("../../etc");
  const std::string odd = Folder("odd", {{"state.json", "{}"}, {"lock", "held"}});
  share.TakeOver(store_->UploadFolder(odd, "checkpoint", "", nullptr)->id);
  EXPECT_FALSE(Env::Posix()->Exists(JoinPath(to, "state.json")));
}

}  // namespace
}  // namespace swage
