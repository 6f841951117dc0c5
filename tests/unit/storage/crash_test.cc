// Power cuts at every change of put, commit, prepare, publish, delete and garbage collection, with four kinds of loss.
// Whatever happens: what was answered is there, what can be seen is whole and right, and the calls can be made again.
#include <gmock/gmock.h>

#include "base/limits.h"
#include "tests/unit/storage/store_fixture.h"

namespace swage {
namespace {

const ResultToken kToken{1, 1, 7};

class CrashTest : public StoreTest {
 protected:
  CrashTest() {
    config_.allow_commit = [this] { return env_.Step(); };
  }

  // What the scenario was told is done.
  struct Done {
    bool committed = false, published = false, deleted = false, collected = false;
  };

  // All of it, from wherever an earlier try stopped. Stops at the first error.
  Status Scenario(Done* done) {
    SWAGE_RETURN_IF_ERROR(PutModel("default", uploaded_, "models/a").status());
    done->committed = true;
    SWAGE_RETURN_IF_ERROR(PutObjects("default", "worker", result_));
    SWAGE_RETURN_IF_ERROR(store_->Prepare("default", "worker", "j1", kToken, result_.json()).status());
    SWAGE_RETURN_IF_ERROR(store_->Publish("default", "j1", kToken, 1, result_.id(), "jobs/j1").status());
    done->published = true;
    SWAGE_RETURN_IF_ERROR(PutModel("default", doomed_, "models/doomed").status());
    SWAGE_RETURN_IF_ERROR(store_->DeleteArtifact("default", "models/doomed"));
    done->deleted = true;
    clock_.AdvanceMillis(limits::kLeaseOfObjectsMs + 1);
    SWAGE_RETURN_IF_ERROR(store_->CollectGarbage(false).status());
    done->collected = true;
    return absl::OkStatus();
  }

  void CheckWhole(const TestModel& model, const std::string& name) {
    for (size_t i = 0; i < model.manifest.files.size(); ++i) {
      const auto bytes = ReadFileOf("default", name, model.manifest.files[i].path);
      ASSERT_TRUE(bytes.ok()) << name << ": " << bytes.status();
      EXPECT_EQ(*bytes, model.FileBytes(i)) << name;
    }
  }

  // Whatever is visible is complete and right; whatever was answered is visible.
  void CheckPromises(const Done& done) {
    const auto page = store_->ListArtifacts("default", 100, "");
    ASSERT_TRUE(page.ok()) << page.status();
    std::set<std::string> visible;
    for (const ArtifactRecord& record : page->artifacts) {
      visible.insert(record.id.Hex());
      for (const TestModel* model : {&uploaded_, &result_, &doomed_}) {
        if (model->id() == record.id.Hex()) CheckWhole(*model, record.id.Hex());
      }
    }
    if (done.committed) CheckWhole(uploaded_, "models/a@v1");
    if (done.published) {
      CheckWhole(result_, "jobs/j1@v1");
      EXPECT_EQ(store_->GetArtifact("default", "jobs/j1")->job, "j1");
    }
    if (done.deleted) {
      EXPECT_FALSE(visible.contains(doomed_.id()));
    }
    const auto state = store_->Reconcile(0, "");
    ASSERT_TRUE(state.ok());
    EXPECT_LE(state->published.size(), 1u);
    if (!state->published.empty()) CheckWhole(result_, state->published[0].artifact.Hex());
    if (done.published) {
      EXPECT_EQ(state->published.size(), 1u);
    }
  }

  // A fresh disk, the scenario with the power going at the n-th change. False when it did not go any more.
  bool RunOnce(int64_t n, MemoryEnv::Loss loss, bool lose_index) {
    SCOPED_TRACE(Cat("power cut at change ", n, ", loss ", static_cast<int>(loss), lose_index ? ", index lost" : ""));
    store_.reset();
    EXPECT_TRUE(env_.RemoveTree("/disk/store").ok());
    EXPECT_TRUE(env_.SyncDir("/disk").ok());
    LoseIndex();
    Reopen();
    if (HasFatalFailure()) return false;
    Done done;
    env_.CrashAt(n);
    const Status ran = Scenario(&done);
    const bool crashed = env_.crashed();
    EXPECT_EQ(crashed, !ran.ok()) << ran;
    store_.reset();
    Rng rng(static_cast<uint64_t>(n), static_cast<uint64_t>(loss));
    env_.Restart(loss, &rng);
    if (lose_index) LoseIndex();
    Reopen();
    if (HasFatalFailure()) return false;
    CheckPromises(done);
    // Everything can be done again, to its end.
    Done again;
    const Status rerun = Scenario(&again);
    EXPECT_TRUE(rerun.ok()) << rerun;
    CheckPromises(again);
    EXPECT_EQ(store_->CollectGarbage(false)->objects, 0u) << "garbage was left";
    return crashed && !HasFailure();
  }

  // The harshest losses at every change; the others at every `step`-th, to keep the test short.
  void RunAll(MemoryEnv::Loss loss, bool lose_index, int64_t step) {
    int64_t n = 1;
    while (RunOnce(n, loss, lose_index)) n += step;
    if (HasFailure()) return;
    EXPECT_GT(n, 60) << "the scenario has become shorter than the test believes";
  }

  const TestModel uploaded_ = MakeTestModel({{WeightBytes(1, 3000), "shared"}, {"{}"}});
  const TestModel result_ = MakeTestModel({{WeightBytes(2, 3000), "shared"}});
  const TestModel doomed_ = MakeTestModel({{WeightBytes(3, 3000), "shared"}});
};

TEST_F(CrashTest, TheProcessDiesAnywhere) { RunAll(MemoryEnv::Loss::kNothing, false, 2); }
TEST_F(CrashTest, PowerGoesAndNothingUnsyncedSurvives) { RunAll(MemoryEnv::Loss::kUnsynced, false, 1); }
TEST_F(CrashTest, PowerGoesAndNamesSurviveWithoutTheirBytes) { RunAll(MemoryEnv::Loss::kBytesOnly, false, 3); }
TEST_F(CrashTest, PowerGoesAndAnythingUnsyncedMaySurvive) { RunAll(MemoryEnv::Loss::kAnything, false, 2); }
TEST_F(CrashTest, PowerGoesAndTheIndexIsLostToo) { RunAll(MemoryEnv::Loss::kUnsynced, true, 1); }
TEST_F(CrashTest, AnythingMaySurviveAndTheIndexIsLostToo) { RunAll(MemoryEnv::Loss::kAnything, true, 3); }

TEST_F(CrashTest, OpeningSurvivesPowerCutsOfItsOwn) {
  Done done;
  ASSERT_TRUE(Scenario(&done).ok());
  for (int64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    LoseIndex();
    env_.CrashAt(n);
    const auto opened = Store::Open(config_);
    if (opened.ok()) break;
    Rng rng(static_cast<uint64_t>(n));
    env_.Restart(MemoryEnv::Loss::kUnsynced, &rng);
    Reopen();  // with the index that the cut left
    CheckPromises(done);
  }
}

}  // namespace
}  // namespace swage
