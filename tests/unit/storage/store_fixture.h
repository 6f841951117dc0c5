// A store on a MemoryEnv, its index in a temporary folder, and small models to put into it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "storage/core/store.h"
#include "tests/unit/storage/memory_env.h"

namespace swage {

// SQLite syncs for real, although the disk here is simulated: in memory that costs nothing.
inline const bool kIndexInMemory = Env::Posix()->Exists("/dev/shm") && ::setenv("TMPDIR", "/dev/shm", 0) == 0;

// Bytes like bf16 weights (they shrink a little), deterministic.
inline std::string WeightBytes(uint64_t seed, size_t size) {
  Rng rng(seed);
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i % 2 == 0 ? rng.Uniform(256) : 0x3c + rng.Uniform(3));
  return bytes;
}

// A manifest whose files are these lists of parts, and the bytes of each object.
struct TestModel {
  Manifest manifest;
  std::vector<std::string> objects;
  std::string json() const { return manifest.ToJson(); }
  std::string id() const { return manifest.Id().Hex(); }
  std::string FileBytes(size_t file) const {
    std::string bytes;
    for (const FilePart& part : manifest.files[file].parts) {
      for (const std::string& object : objects) {
        if (Sha256Of(object) == part.object) { bytes += object; break; }
      }
    }
    return bytes;
  }
};

inline TestModel MakeTestModel(const std::vector<std::vector<std::string>>& files) {
  TestModel model;
  for (size_t i = 0; i < files.size(); ++i) {
    ManifestFile file;
    file.path = Cat("file-", static_cast<int>(i), ".bin");
    std::string all;
    for (const std::string& part : files[i]) {
      file.parts.push_back({all.size(), part.size(), Sha256Of(part), "", "", {}});
      all += part;
      model.objects.push_back(part);
    }
    file.size = all.size();
    file.sha256 = Sha256Of(all);
    model.manifest.files.push_back(file);
  }
  return model;
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    EXPECT_TRUE(env_.CreateDirs("/disk", 0755).ok());
    config_.data_dir = "/disk/store";
    config_.env = &env_;
    config_.clock = &clock_;
    config_.index_path = JoinPath(index_dir_.path(), "index.sqlite");
  }
  void Reopen() {
    store_.reset();
    auto opened = Store::Open(config_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = std::move(*opened);
  }
  void LoseIndex() {
    store_.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) Env::Posix()->Remove(Cat(config_.index_path, suffix)).IgnoreError();
  }
  void SetUp() override { Reopen(); }

  Status Put(const std::string& tenant, const std::string& upload, const std::string& bytes) {
    return store_->PutBytes(tenant, upload, Sha256Of(bytes), bytes);
  }
  Status PutObjects(const std::string& tenant, const std::string& upload, const TestModel& model) {
    SWAGE_ASSIGN_OR_RETURN(auto stream, store_->NewUpload(tenant, upload));
    for (const std::string& object : model.objects) {
      SWAGE_RETURN_IF_ERROR(stream->Begin(Sha256Of(object), object.size(), 0));
      SWAGE_RETURN_IF_ERROR(stream->Append(object));
    }
    return stream->Finish().status();
  }
  StatusOr<ArtifactRecord> PutModel(const std::string& tenant, const TestModel& model, const std::string& alias) {
    SWAGE_RETURN_IF_ERROR(PutObjects(tenant, "up", model));
    return store_->Commit(tenant, "up", model.json(), alias);
  }
  StatusOr<std::string> ReadObject(const std::string& tenant, const Digest& digest) {
    SWAGE_ASSIGN_OR_RETURN(auto source, store_->OpenObject(tenant, digest));
    std::string bytes(source->size(), '\0');
    SWAGE_RETURN_IF_ERROR(source->Read(0, bytes.size(), bytes.data()));
    return bytes;
  }
  StatusOr<std::string> ReadFileOf(const std::string& tenant, const std::string& artifact, const std::string& path) {
    SWAGE_ASSIGN_OR_RETURN(auto source, store_->OpenFile(tenant, artifact, path));
    std::string bytes(source->size(), '\0');
    SWAGE_RETURN_IF_ERROR(source->Read(0, bytes.size(), bytes.data()));
    return bytes;
  }
  size_t ObjectFiles() const {
    size_t count = 0;
    for (const auto& [path, size] : env_.Files()) count += StartsWith(path, "/disk/store/objects/") ? 1 : 0;
    return count;
  }

  MemoryEnv env_;
  ManualClock clock_;
  TempDir index_dir_;
  StoreConfig config_;
  std::unique_ptr<Store> store_;
};

}  // namespace swage
