// Opening, and objects in and out. Artifacts are in store_artifacts.cc, the rest in store_{records,rebuild,garbage}.cc.
#include "storage/core/store.h"

#include "base/limits.h"
#include "base/log.h"

namespace swage {
namespace {

Status MissingObject(const Digest& digest) {
  return NotFound("OBJECT_MISSING", Cat("object ", digest.Hex(), " is not in the store"), "upload it first");
}

// Notes an object whose bytes turned out to be damaged, so that it counts as missing and can be uploaded again.
class WatchedSource : public ByteSource {
 public:
  WatchedSource(std::unique_ptr<ByteSource> source, Index* index, const Digest& digest)
      : source_(std::move(source)), index_(index), digest_(digest) {}
  uint64_t size() const override { return source_->size(); }
  Status Read(uint64_t offset, size_t size, char* out) override {
    const Status read = source_->Read(offset, size, out);
    if (absl::IsDataLoss(read)) {
      LogError("store: ", MessageOf(read));
      index_->MarkDamaged(digest_).IgnoreError();
    }
    return read;
  }

 private:
  std::unique_ptr<ByteSource> source_;
  Index* index_;
  Digest digest_;
};

std::string Key(const Digest& digest) { return std::string(reinterpret_cast<const char*>(digest.bytes.data()), 32); }

}  // namespace

Store::Store(StoreConfig config) : config_(std::move(config)), env_(config_.env), paths_(config_.data_dir) {}
Store::~Store() = default;

StatusOr<std::unique_ptr<Store>> Store::Open(const StoreConfig& config) {
  std::unique_ptr<Store> store(new Store(config));
  store->open_millis_ = store->NowMillis();
  SWAGE_RETURN_IF_ERROR(store->env_->CreateDirs(config.data_dir, 0700));
  auto lock = store->env_->Lock(store->paths_.Lock(), false);
  if (!lock.ok()) return Annotate(lock.status(), "another store uses this folder");
  store->lock_ = std::move(*lock);
  SWAGE_RETURN_IF_ERROR(store->PrepareFolders());
  SWAGE_RETURN_IF_ERROR(store->OpenIndex());
  SWAGE_RETURN_IF_ERROR(store->WriteRecords());
  {
    std::lock_guard gc(store->gc_mutex_);
    SWAGE_RETURN_IF_ERROR(store->RemoveFiles());
  }
  SWAGE_RETURN_IF_ERROR(store->DropExpiredUploads());
  SWAGE_ASSIGN_OR_RETURN(const uint64_t stored, store->index_->StoredBytes());
  store->stored_bytes_ = stored;
  return store;
}

Status Store::PrepareFolders() {
  // All 256 folders at once: making them durable one by one, when objects come, would cost a sync each.
  static constexpr char kHex[] = "0123456789abcdef";
  for (const char high : std::string_view(kHex, 16)) {
    for (const char low : std::string_view(kHex, 16)) {
      const std::string dir = Cat(paths_.Objects(), "/", high, low);
      if (!env_->Exists(dir)) SWAGE_RETURN_IF_ERROR(env_->CreateDirs(dir, 0700));
    }
  }
  return env_->CreateDirs(paths_.Uploads(), 0700);
}

// Before an index is called built, so that whoever died between making the folders and this is made good for.
Status Store::SyncFolders() {
  SWAGE_RETURN_IF_ERROR(env_->SyncDir(paths_.Objects()));
  SWAGE_RETURN_IF_ERROR(EnsureDir(paths_.Absolute("records")));
  return env_->SyncDir(DirName(paths_.root()));
}

Status Store::OpenIndex() {
  const std::string path = config_.index_path.empty() ? paths_.Index() : config_.index_path;
  Env* files = Env::Posix();  // SQLite does its own I/O, whatever env_ is
  const bool existed = files->Exists(path);
  auto index = Index::Open(path);
  StatusOr<bool> built = index.ok() ? (*index)->IsBuilt() : index.status();
  if (existed && (ReasonOf(built.status()) == "INDEX_CORRUPT" || (built.ok() && !*built))) {
    const std::string aside = Cat(path, ".corrupt-", NowMillis());
    LogError("store: the index is ", built.ok() ? "unfinished" : MessageOf(built.status()), "; it is set aside as ", aside, " and rebuilt");
    if (index.ok()) index->reset();
    SWAGE_RETURN_IF_ERROR(files->Rename(path, aside));
    for (const char* suffix : {"-wal", "-shm"}) files->Remove(Cat(path, suffix)).IgnoreError();
    index = Index::Open(path);
    built = false;
  }
  if (!index.ok()) return index.status();
  if (!built.ok()) return built.status();
  index_ = std::move(*index);
  if (!*built) {
    SWAGE_RETURN_IF_ERROR(SyncFolders());
    SWAGE_RETURN_IF_ERROR(RebuildIndex());
    SWAGE_RETURN_IF_ERROR(index_->SetBuilt());
  }
  index_->database_for_tests()->set_allow_commit(config_.allow_commit);
  return absl::OkStatus();
}

int64_t Store::LeaseEnd() const { return NowMillis() + limits::kLeaseOfObjectsMs; }

StatusOr<std::vector<Digest>> Store::FindMissing(const std::string& tenant, const std::string& upload, std::span<const Digest> digests) {
  SWAGE_RETURN_IF_ERROR(CheckTenantName(tenant));
  SWAGE_RETURN_IF_ERROR(CheckUploadName(upload));
  return index_->FindMissing(tenant, upload, digests, LeaseEnd());
}

StatusOr<WriteState> Store::QueryWrite(const std::string& tenant, const std::string& upload, const Digest& digest) {
  SWAGE_ASSIGN_OR_RETURN(const auto missing, FindMissing(tenant, upload, std::span(&digest, 1)));
  if (missing.empty()) {
    SWAGE_ASSIGN_OR_RETURN(const auto place, index_->FindObject(digest));
    return WriteState{place.has_value() ? place->raw_size : 0, true};
  }
  const PartState part = ReadPartState(env_, Cat(paths_.UploadDir(tenant, upload), "/", digest.Hex(), ".part"));
  return WriteState{part.raw_bytes, false};
}

StatusOr<std::unique_ptr<Upload>> Store::NewUpload(const std::string& tenant, const std::string& upload) {
  SWAGE_RETURN_IF_ERROR(CheckTenantName(tenant));
  SWAGE_RETURN_IF_ERROR(CheckUploadName(upload));
  {
    std::lock_guard lock(gc_mutex_);
    ++open_uploads_[Cat(tenant, "/", upload)];
  }
  std::unique_ptr<Upload> stream(new Upload(this, tenant, upload));
  SWAGE_RETURN_IF_ERROR(index_->TouchUpload(tenant, upload, LeaseEnd()));
  return stream;
}

Status Store::PutBytes(const std::string& tenant, const std::string& upload, const Digest& digest, std::string_view bytes) {
  SWAGE_ASSIGN_OR_RETURN(auto stream, NewUpload(tenant, upload));
  SWAGE_RETURN_IF_ERROR(stream->Begin(digest, bytes.size(), 0));
  SWAGE_RETURN_IF_ERROR(stream->Append(bytes));
  return stream->Finish().status();
}

Status Store::CheckSpace(uint64_t bytes) {
  if (config_.max_bytes > 0 && stored_bytes_ + bytes > config_.max_bytes) {
    return Error(StatusCode::kResourceExhausted, "STORE_FULL",
                 Cat("the store may hold ", config_.max_bytes, " bytes and holds ", stored_bytes_.load()),
                 "delete artifacts and collect garbage, or raise the limit");
  }
  SWAGE_ASSIGN_OR_RETURN(const uint64_t available, env_->FreeBytes(paths_.root()));
  if (available >= limits::kDiskReserveBytes && available - limits::kDiskReserveBytes >= bytes) return absl::OkStatus();
  return Error(StatusCode::kResourceExhausted, "DISK_FULL",
               Cat("the store's disk has ", available, " bytes free; an object of ", bytes, " bytes does not fit beside the reserve of ",
                   limits::kDiskReserveBytes), "free space on the store's disk, then try again");
}

void Store::Pin(const Digest& digest) {
  std::lock_guard lock(gc_mutex_);
  ++pins_[Key(digest)];
}

void Store::Unpin(const Digest& digest) {
  std::lock_guard lock(gc_mutex_);
  const auto pin = pins_.find(Key(digest));
  if (--pin->second == 0) pins_.erase(pin);
}

bool Store::ReservePart(const std::string& path) {
  std::lock_guard lock(gc_mutex_);
  return parts_.insert(path).second;
}

void Store::ReleasePart(const std::string& path) {
  std::lock_guard lock(gc_mutex_);
  parts_.erase(path);
}

void Store::CloseUpload(const std::string& tenant, const std::string& upload) {
  std::lock_guard lock(gc_mutex_);
  const auto open = open_uploads_.find(Cat(tenant, "/", upload));
  if (--open->second == 0) open_uploads_.erase(open);
}

StatusOr<std::unique_ptr<ByteSource>> Store::OpenStored(const Digest& digest) {
  auto opened = [&]() -> StatusOr<std::unique_ptr<ObjectReader>> {
    auto file = env_->NewReadableFile(paths_.Object(digest));
    if (absl::IsNotFound(file.status())) {
      SWAGE_ASSIGN_OR_RETURN(const auto place, index_->FindObject(digest));
      if (!place.has_value()) return MissingObject(digest);  // collected a moment ago
      return DataLoss("OBJECT_CORRUPT", Cat("object ", digest.Hex(), ": its file is gone"), "upload the object again to repair it");
    }
    if (!file.ok()) return file.status();
    const uint64_t size = (*file)->size();
    return ObjectReader::Open(std::move(*file), 0, size, digest);
  }();
  if (!opened.ok()) {
    if (absl::IsDataLoss(opened.status())) {
      LogError("store: ", MessageOf(opened.status()));
      index_->MarkDamaged(digest).IgnoreError();
    }
    return opened.status();
  }
  return std::unique_ptr<ByteSource>(std::make_unique<WatchedSource>(std::move(*opened), index_.get(), digest));
}

StatusOr<std::string> Store::ReadStored(const Digest& digest, uint64_t max_bytes) {
  SWAGE_ASSIGN_OR_RETURN(auto source, OpenStored(digest));
  if (source->size() > max_bytes) return Internal(Cat("object ", digest.Hex(), " is larger than expected"));
  std::string bytes(source->size(), '\0');
  SWAGE_RETURN_IF_ERROR(source->Read(0, bytes.size(), bytes.data()));
  return bytes;
}

StatusOr<std::unique_ptr<ByteSource>> Store::OpenObject(const std::string& tenant, const Digest& digest) {
  SWAGE_RETURN_IF_ERROR(CheckTenantName(tenant));
  SWAGE_ASSIGN_OR_RETURN(const auto place, index_->FindVisible(tenant, digest));
  if (!place.has_value()) return MissingObject(digest);
  return OpenStored(digest);
}

StatusOr<std::unique_ptr<ByteSource>> Store::OpenFile(const std::string& tenant, const std::string& artifact, const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(const ArtifactRecord record, GetArtifact(tenant, artifact));
  SWAGE_ASSIGN_OR_RETURN(const auto manifest, LoadManifest(record.id));
  const ManifestFile* file = manifest->Find(path);
  if (file == nullptr) {
    return NotFound("FILE_NOT_FOUND", Cat("artifact ", record.id.Hex(), " has no file '", path, "'"), "look at its manifest");
  }
  return std::unique_ptr<ByteSource>(
      std::make_unique<FileReader>(manifest, file, [this](const Digest& object) { return OpenStored(object); }));
}

}  // namespace swage
