// Random operations against a model in memory; after each few, and after restarts and lost indexes, both must agree.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "base/limits.h"
#include "tests/unit/storage/store_fixture.h"

namespace swage {
namespace {

class PropertyTest : public StoreTest {
 protected:
  struct Tenant {
    std::set<size_t> artifacts;                                   // indices into models_
    std::map<std::string, std::map<uint32_t, size_t>> aliases;    // name, version
    std::map<std::string, uint32_t> next_version;
    std::map<std::string, size_t> prepared_by, published;         // job
    std::set<std::pair<std::string, size_t>> prepared;
  };

  PropertyTest() {
    for (uint64_t i = 0; i < 8; ++i) {
      // Neighbours share parts, so that dedup and garbage collection have something to get wrong.
      models_.push_back(MakeTestModel({{WeightBytes(i, 500), WeightBytes(i / 2, 700)}, {WeightBytes(100 + i / 4, 300)}}));
    }
  }

  void PointAlias(Tenant* tenant, const std::string& name, size_t model) {
    auto& versions = tenant->aliases[name];
    if (!versions.empty() && versions.rbegin()->second == model) return;
    uint32_t& next = tenant->next_version.try_emplace(name, 1).first->second;
    versions[next++] = model;
  }

  bool IsNamed(const Tenant& tenant, size_t model) const {
    for (const auto& [name, versions] : tenant.aliases) {
      for (const auto& [version, named] : versions) {
        if (named == model) return true;
      }
    }
    return false;
  }

  void Step(Rng* rng) {
    const std::string name = rng->Uniform(2) == 0 ? "alice" : "bob";
    Tenant& tenant = tenants_[name];
    const size_t index = rng->Uniform(models_.size());
    const TestModel& model = models_[index];
    const std::string alias = Cat("m/", rng->Uniform(3)), job = Cat("j", rng->Uniform(4));
    switch (rng->Uniform(8)) {
      case 0:
      case 1: {
        ASSERT_TRUE(PutModel(name, model, alias).ok());
        tenant.artifacts.insert(index);
        PointAlias(&tenant, alias, index);
        break;
      }
      case 2: {
        ASSERT_TRUE(PutObjects(name, "worker", model).ok());
        const Status prepared = store_->Prepare(name, "worker", job, {1, 1, 1}, model.json()).status();
        const auto published = tenant.published.find(job);
        ASSERT_EQ(prepared.ok(), published == tenant.published.end() || published->second == index) << prepared;
        if (prepared.ok() && published == tenant.published.end()) tenant.prepared.insert({job, index});
        break;
      }
      case 3: {
        const Status status = store_->Publish(name, job, {1, 1, 1}, 1, model.id(), "").status();
        const auto published = tenant.published.find(job);
        const bool possible = published != tenant.published.end()
                                  ? published->second == index
                                  : tenant.prepared.contains({job, index}) || tenant.artifacts.contains(index);
        ASSERT_EQ(status.ok(), possible) << status;
        if (status.ok() && published == tenant.published.end()) {
          tenant.published[job] = index;
          tenant.artifacts.insert(index);
          std::erase_if(tenant.prepared, [&](const auto& entry) { return entry.first == job; });
        }
        break;
      }
      case 4: {
        const Status status = store_->DeleteArtifact(name, model.id());
        ASSERT_EQ(status.ok(), tenant.artifacts.contains(index) && !IsNamed(tenant, index)) << status;
        if (status.ok()) tenant.artifacts.erase(index);
        break;
      }
      case 5: {
        auto& versions = tenant.aliases[alias];
        if (versions.empty()) break;
        const auto [version, named] = *versions.begin();
        ASSERT_TRUE(store_->DeleteArtifact(name, AliasText(alias, version)).ok());
        versions.erase(version);
        if (!IsNamed(tenant, named)) tenant.artifacts.erase(named);
        break;
      }
      case 6: {
        clock_.AdvanceMillis(rng->Uniform(2) == 0 ? 1000 : limits::kLeaseOfObjectsMs + 1);
        const GarbageTotals dry = *store_->CollectGarbage(true);
        const GarbageTotals real = *store_->CollectGarbage(false);
        ASSERT_EQ(dry.objects, real.objects);
        ASSERT_EQ(dry.bytes, real.bytes);
        prepared_may_be_gone_ = true;
        break;
      }
      case 7: {
        if (rng->Uniform(3) == 0) LoseIndex();
        Reopen();
        break;
      }
    }
    if (prepared_may_be_gone_) ForgetStalePrepared();
  }

  // Which prepared results garbage collection took depends on the clock; the store tells by refusing to read them.
  void ForgetStalePrepared() {
    prepared_may_be_gone_ = false;
    for (auto& [name, tenant] : tenants_) {
      std::erase_if(tenant.prepared, [&](const auto& entry) {
        const TestModel& model = models_[entry.second];
        const std::string record = Cat("/disk/store/", StorePaths::PreparedRecord(name, entry.first, *Digest::FromHex(model.id())));
        return !env_.Exists(record);
      });
    }
  }

  void Compare() {
    for (const auto& [name, tenant] : tenants_) {
      std::set<std::string> expected, actual;
      for (const size_t index : tenant.artifacts) expected.insert(models_[index].id());
      const ArtifactPage page = *store_->ListArtifacts(name, 100, "");
      for (const ArtifactRecord& record : page.artifacts) actual.insert(record.id.Hex());
      ASSERT_EQ(actual, expected) << name;
      for (const size_t index : tenant.artifacts) {
        for (size_t file = 0; file < 2; ++file) {
          ASSERT_EQ(*ReadFileOf(name, models_[index].id(), models_[index].manifest.files[file].path), models_[index].FileBytes(file));
        }
      }
      for (const auto& [alias, versions] : tenant.aliases) {
        for (const auto& [version, index] : versions) {
          ASSERT_EQ(store_->GetArtifact(name, AliasText(alias, version))->id.Hex(), models_[index].id());
        }
        const auto newest = store_->GetArtifact(name, alias);
        ASSERT_EQ(newest.ok(), !versions.empty());
        if (newest.ok()) {
          ASSERT_EQ(newest->id.Hex(), models_[versions.rbegin()->second].id());
        }
      }
    }
    size_t published = 0;
    for (const auto& [name, tenant] : tenants_) published += tenant.published.size();
    ASSERT_EQ(store_->Reconcile(0, "")->published.size(), published);
  }

  std::vector<TestModel> models_;
  std::map<std::string, Tenant> tenants_;
  bool prepared_may_be_gone_ = false;
};

TEST_F(PropertyTest, TheStoreIsItsModel) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Rng rng(seed);
    for (int step = 0; step < 60; ++step) {
      SCOPED_TRACE(Cat("seed ", seed, " step ", step));
      Step(&rng);
      if (HasFatalFailure()) return;
      if (step % 5 == 4) Compare();
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace swage
