// The two streams. Each has one message in work at a time: gRPC hands it over, a pool thread works on it and asks gRPC for
// the next, so a slow peer costs one buffer and no thread. After Finish or a Start* nothing of the reactor is touched,
// because the next callback may already run elsewhere, or have deleted it.
#include <algorithm>

#include "base/limits.h"
#include "services/kit/rpc.h"
#include "storage/server/artifact_service.h"

namespace swage {
namespace {

Status Cancelled() { return Error(StatusCode::kCancelled, "CANCELLED", "the stream was ended"); }

class WriteReactor : public grpc::ServerReadReactor<v1::WriteRequest> {
 public:
  WriteReactor(ArtifactService* service, Store* store, WorkPool* pool, grpc::CallbackServerContext* context, v1::WriteResponse* response)
      : streams_(service->streams()), store_(store), pool_(pool), context_(context), response_(response),
        span_(service->StartSpan("store.Write", *context)) {
    if (!streams_->Add(this, [context] { context->TryCancel(); })) {
      Finish(ToGrpc(Cancelled()));
    } else {
      StartRead(&message_);
    }
  }

  void OnReadDone(bool ok) override {
    streams_->Moved(this);
    if (!pool_->Add([this, ok] { ok ? Take() : End(); })) Close(TooBusy());
  }

  void OnDone() override {
    streams_->Remove(this);
    delete this;
  }

 private:
  void Take() {
    const Status taken = TakeMessage();
    if (taken.ok()) {
      StartRead(&message_);
    } else {
      Close(taken);
    }
  }

  Status TakeMessage() {
    if (message_.data().size() > limits::kChunkBytes) {
      return InvalidInput("CHUNK_TOO_LARGE", Cat("a message carries at most ", limits::kChunkBytes, " bytes"), "send smaller messages");
    }
    if (upload_ == nullptr) {
      SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(message_.tenant()));
      SWAGE_ASSIGN_OR_RETURN(upload_, store_->NewUpload(tenant, message_.upload_id()));
    }
    if (!message_.digest().empty()) {
      SWAGE_ASSIGN_OR_RETURN(const Digest digest, DigestFromRequest(message_.digest()));
      SWAGE_RETURN_IF_ERROR(upload_->Begin(digest, message_.size(), message_.offset()));
    } else if (upload_->in_object() && message_.offset() != upload_->position()) {
      return Precondition("OFFSET_MISMATCH", Cat("the next byte is ", upload_->position(), ", the message begins at ", message_.offset()),
                          "send the bytes in order, without gaps");
    }
    return upload_->Append(message_.data());
  }

  void End() {
    if (context_->IsCancelled()) return Close(Cancelled());
    if (upload_ == nullptr) return Close(absl::OkStatus());  // nothing was sent
    const auto totals = upload_->Finish();
    if (!totals.ok()) return Close(totals.status());
    response_->set_objects(totals->objects);
    response_->set_bytes(totals->bytes);
    span_.SetAttribute("swage.objects", std::to_string(totals->objects));
    span_.SetAttribute("swage.bytes", std::to_string(totals->bytes));
    Close(absl::OkStatus());
  }

  void Close(const Status& status) {
    upload_.reset();  // keeps what is complete, before the client can ask for it
    span_.SetStatus(status);
    span_.End();
    Finish(ToGrpc(status));
  }

  StreamWatch* streams_;
  Store* store_;
  WorkPool* pool_;
  grpc::CallbackServerContext* context_;
  v1::WriteResponse* response_;
  v1::WriteRequest message_;
  std::unique_ptr<Upload> upload_;
  Span span_;
};

class ReadReactor : public grpc::ServerWriteReactor<v1::ReadResponse> {
 public:
  ReadReactor(ArtifactService* service, Store* store, WorkPool* pool, grpc::CallbackServerContext* context, const v1::ReadRequest* request)
      : streams_(service->streams()), store_(store), pool_(pool), request_(request), span_(service->StartSpan("store.Read", *context)) {
    if (!streams_->Add(this, [context] { context->TryCancel(); })) {
      Finish(ToGrpc(Cancelled()));
    } else if (!pool_->Add([this] { Begin(); })) {
      Finish(ToGrpc(TooBusy()));
    }
  }

  void OnWriteDone(bool ok) override {
    streams_->Moved(this);
    if (!ok) return Close(Cancelled());
    if (!pool_->Add([this] { SendNext(); })) Close(TooBusy());
  }

  void OnDone() override {
    streams_->Remove(this);
    delete this;
  }

 private:
  void Begin() {
    if (const Status opened = OpenSource(); !opened.ok()) return Close(opened);
    message_.set_total_size(source_->size());
    SendNext();
  }

  Status OpenSource() {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request_->tenant()));
    if (request_->what_case() == v1::ReadRequest::kFile) {
      SWAGE_ASSIGN_OR_RETURN(source_, store_->OpenFile(tenant, request_->file().artifact(), request_->file().path()));
    } else {
      SWAGE_ASSIGN_OR_RETURN(const Digest digest, DigestFromRequest(request_->object()));
      SWAGE_ASSIGN_OR_RETURN(source_, store_->OpenObject(tenant, digest));
    }
    if (request_->offset() > source_->size()) {
      return Error(StatusCode::kOutOfRange, "RANGE_BEYOND_END",
                   Cat("byte ", request_->offset(), " lies beyond the end at ", source_->size()), "ask for a range inside the object");
    }
    position_ = request_->offset();
    end_ = source_->size();
    if (request_->limit() > 0 && request_->limit() < end_ - position_) end_ = position_ + request_->limit();
    return absl::OkStatus();
  }

  // The first message goes out also when it is empty: it carries the size.
  void SendNext() {
    if (position_ == end_ && !first_) return Close(absl::OkStatus());
    if (!first_) message_.clear_total_size();
    first_ = false;
    const uint64_t size = std::min<uint64_t>(limits::kChunkBytes, end_ - position_);
    message_.mutable_data()->resize(size);
    const Status read = source_->Read(position_, size, message_.mutable_data()->data());
    if (!read.ok()) return Close(read);
    position_ += size;
    StartWrite(&message_);
  }

  void Close(const Status& status) {
    span_.SetStatus(status);
    span_.End();
    Finish(ToGrpc(status));
  }

  StreamWatch* streams_;
  Store* store_;
  WorkPool* pool_;
  const v1::ReadRequest* request_;
  v1::ReadResponse message_;
  std::unique_ptr<ByteSource> source_;
  uint64_t position_ = 0, end_ = 0;
  bool first_ = true;
  Span span_;
};

}  // namespace

// The reactors delete themselves when gRPC is done with them.
grpc::ServerReadReactor<v1::WriteRequest>* ArtifactService::Write(Context* context, v1::WriteResponse* response) {
  return new WriteReactor(this, store_, &quick_, context, response);
}

grpc::ServerWriteReactor<v1::ReadResponse>* ArtifactService::Read(Context* context, const v1::ReadRequest* request) {
  return new ReadReactor(this, store_, &quick_, context, request);
}

}  // namespace swage
