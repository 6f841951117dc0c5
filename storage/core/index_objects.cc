// Objects, and who may name them.
#include "storage/core/index.h"

namespace swage {
namespace {

// What `tenant` may name: objects it has sent or asked about in a live upload, and the closure of its artifacts and of
// its prepared results.
constexpr char kVisible[] =
    "SELECT o.id, o.raw_size, o.stored_size, o.damaged FROM objects o WHERE o.digest = ?1 AND o.damaged = 0 AND ("
    "EXISTS(SELECT 1 FROM leases l JOIN uploads u ON u.id = l.upload WHERE l.object = o.id AND u.tenant = ?2) OR "
    "EXISTS(SELECT 1 FROM manifest_objects mo JOIN manifests m ON m.id = mo.manifest JOIN artifacts a ON a.manifest = m.id "
    "WHERE mo.object = o.id AND a.tenant = ?2 AND m.complete = 1) OR "
    "EXISTS(SELECT 1 FROM manifest_objects mo JOIN prepared p ON p.manifest = mo.manifest WHERE mo.object = o.id AND p.tenant = ?2))";
constexpr char kAnyone[] = "SELECT id, raw_size, stored_size, damaged FROM objects WHERE digest = ?";

}  // namespace

StatusOr<std::optional<ObjectPlace>> Index::PlaceWhere(const char* sql, const std::string* tenant, const Digest& digest) {
  SWAGE_ASSIGN_OR_RETURN(Rows rows, tenant != nullptr ? db_->Query(sql, digest, *tenant) : db_->Query(sql, digest));
  std::optional<ObjectPlace> place;
  if (rows.Next()) place = ObjectPlace{rows.Int(0), rows.Uint(1), rows.Uint(2), rows.Int(3) != 0};
  SWAGE_RETURN_IF_ERROR(rows.status());
  return place;
}

StatusOr<std::optional<ObjectPlace>> Index::FindObject(const Digest& digest) {
  std::lock_guard lock(mutex_);
  return PlaceWhere(kAnyone, nullptr, digest);
}

StatusOr<std::optional<ObjectPlace>> Index::FindVisible(const std::string& tenant, const Digest& digest) {
  std::lock_guard lock(mutex_);
  return PlaceWhere(kVisible, &tenant, digest);
}

StatusOr<int64_t> Index::UploadId(const std::string& tenant, const std::string& upload, int64_t expires_ms) {
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT INTO uploads(tenant, name, expires_ms) VALUES (?, ?, ?) "
                                 "ON CONFLICT(tenant, name) DO UPDATE SET expires_ms = max(expires_ms, excluded.expires_ms)",
                                 tenant, upload, expires_ms));
  SWAGE_ASSIGN_OR_RETURN(const auto id, db_->QueryInt("SELECT id FROM uploads WHERE tenant = ? AND name = ?", tenant, upload));
  if (!id.has_value()) return Internal("an upload that was just written is not there");
  return *id;
}

StatusOr<std::vector<Digest>> Index::FindMissing(const std::string& tenant, const std::string& upload,
                                                 std::span<const Digest> digests, int64_t expires_ms) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  SWAGE_ASSIGN_OR_RETURN(const int64_t id, UploadId(tenant, upload, expires_ms));
  std::vector<Digest> missing;
  for (const Digest& digest : digests) {
    SWAGE_ASSIGN_OR_RETURN(const auto place, PlaceWhere(kVisible, &tenant, digest));
    if (!place.has_value()) {
      missing.push_back(digest);
    } else {
      SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR IGNORE INTO leases VALUES (?, ?)", id, place->id));
    }
  }
  SWAGE_RETURN_IF_ERROR(txn.Commit());
  return missing;
}

Status Index::TouchUpload(const std::string& tenant, const std::string& upload, int64_t expires_ms) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  SWAGE_RETURN_IF_ERROR(UploadId(tenant, upload, expires_ms));
  return txn.Commit();
}

Status Index::AddObjects(const std::string& tenant, const std::string& upload, std::span<const ObjectSizes> objects, int64_t expires_ms) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kDurable);
  SWAGE_ASSIGN_OR_RETURN(const int64_t id, UploadId(tenant, upload, expires_ms));
  for (const ObjectSizes& object : objects) {
    SWAGE_RETURN_IF_ERROR(db_->Run("INSERT INTO objects(digest, raw_size, stored_size) VALUES (?, ?, ?) "
                                   "ON CONFLICT(digest) DO UPDATE SET damaged = 0, stored_size = excluded.stored_size",
                                   object.digest, object.raw_size, object.stored_size));
    SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR IGNORE INTO leases SELECT ?, id FROM objects WHERE digest = ?", id, object.digest));
    SWAGE_RETURN_IF_ERROR(db_->Run("DELETE FROM removals WHERE digest = ?", object.digest));
  }
  return txn.Commit();
}

Status Index::LeaseForManifest(const std::string& tenant, const std::string& upload, const ManifestSummary& manifest, int64_t expires_ms) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  SWAGE_ASSIGN_OR_RETURN(const int64_t id, UploadId(tenant, upload, expires_ms));
  std::string missing;
  int missing_count = 0;
  for (const ObjectSizes& object : manifest.objects) {
    SWAGE_ASSIGN_OR_RETURN(const auto place, PlaceWhere(kVisible, &tenant, object.digest));
    if (!place.has_value()) {
      if (++missing_count <= 3) missing += Cat(missing.empty() ? "" : ", ", object.digest.Hex());
      continue;
    }
    if (place->raw_size != object.raw_size) {
      return InvalidInput("SIZE_MISMATCH", Cat("the manifest says that object ", object.digest.Hex(), " has ", object.raw_size,
                                               " bytes; it has ", place->raw_size), "build the manifest again from the files");
    }
    SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR IGNORE INTO leases VALUES (?, ?)", id, place->id));
  }
  if (missing_count > 0) {
    return Precondition("OBJECT_MISSING", Cat(missing_count, " objects of the manifest are not in the store: ", missing,
                                              missing_count > 3 ? ", ..." : ""), "send what FindMissing returns, then commit again");
  }
  return txn.Commit();
}

Status Index::MarkDamaged(const Digest& digest) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  SWAGE_RETURN_IF_ERROR(db_->Run("UPDATE objects SET damaged = 1 WHERE digest = ?", digest));
  return txn.Commit();
}

StatusOr<uint64_t> Index::StoredBytes() {
  std::lock_guard lock(mutex_);
  SWAGE_ASSIGN_OR_RETURN(const auto bytes, db_->QueryInt("SELECT COALESCE(SUM(stored_size), 0) FROM objects"));
  return static_cast<uint64_t>(bytes.value_or(0));
}

StatusOr<bool> Index::IsVerifiedFile(const Digest& file, const Digest& parts) {
  std::lock_guard lock(mutex_);
  SWAGE_ASSIGN_OR_RETURN(const auto found, db_->QueryInt("SELECT 1 FROM verified_files WHERE file = ? AND parts = ?", file, parts));
  return found.has_value();
}

Status Index::AddVerifiedFile(const Digest& file, const Digest& parts) {
  std::lock_guard lock(mutex_);
  Database::Transaction txn(db_.get(), Database::Durability::kSoft);
  SWAGE_RETURN_IF_ERROR(db_->Run("INSERT OR IGNORE INTO verified_files VALUES (?, ?)", file, parts));
  return txn.Commit();
}

}  // namespace swage
