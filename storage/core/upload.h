// One stream of objects into the store. For one thread at a time.
//
//   SWAGE_ASSIGN_OR_RETURN(auto upload, store->NewUpload(tenant, upload_id));
//   SWAGE_RETURN_IF_ERROR(upload->Begin(digest, size, 0));
//   SWAGE_RETURN_IF_ERROR(upload->Append(bytes));         // ends by itself when `size` bytes are there
//   SWAGE_ASSIGN_OR_RETURN(UploadTotals totals, upload->Finish());   // now they are durable and present
//
// Objects are made durable in batches: syncing the folders once for each would cost more than the bytes. After an error
// the upload takes no more; what was complete before it is kept, and the object in work stays as a part to be resumed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "storage/core/index.h"
#include "storage/core/object_writer.h"

namespace swage {

class Store;

struct UploadTotals {
  uint64_t objects = 0;
  uint64_t bytes = 0;  // raw
};

class Upload {
 public:
  ~Upload();  // keeps what is complete, best effort
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  // `offset`: where the next bytes go on; 0, or what Store::QueryWrite says. The object before must be complete.
  Status Begin(const Digest& digest, uint64_t size, uint64_t offset);
  Status Append(std::string_view raw);
  StatusOr<UploadTotals> Finish();
  bool in_object() const { return in_object_; }
  uint64_t position() const { return position_; }  // in the object in work

 private:
  friend class Store;
  Upload(Store* store, std::string tenant, std::string upload) : store_(store), tenant_(std::move(tenant)), upload_(std::move(upload)) {}
  Status BeginInner(const Digest& digest, uint64_t size, uint64_t offset);
  Status OpenPart(const Digest& digest, uint64_t size, uint64_t offset);
  Status AppendInner(std::string_view raw);
  Status CompleteObject();
  Status Flush();
  Status PublishComplete();
  void Discard(std::unique_ptr<ObjectWriter> writer);  // removes its part
  Status Fail(const Status& status);

  Store* store_;
  std::string tenant_, upload_;
  UploadTotals totals_;
  Status failed_;
  bool in_object_ = false;
  Digest digest_;
  uint64_t size_ = 0, position_ = 0;
  std::unique_ptr<ObjectWriter> writer_;  // of the object in work; null when it is here already
  std::unique_ptr<Sha256> check_;         // of an object that is here already: its bytes are verified all the same

  std::vector<std::unique_ptr<ObjectWriter>> complete_;  // not yet synced
  std::vector<ObjectSizes> here_;                        // durable, to be made present and leased with the next flush
  std::vector<Digest> pins_;
  uint64_t unsynced_bytes_ = 0;
};

}  // namespace swage
