#include "services/control/watch.h"

#include "base/limits.h"
#include "services/control/convert.h"
#include "services/kit/rpc.h"

namespace swage {
namespace {

constexpr size_t kBuffered = 64;  // events read at a time

int64_t NanosOf(const v1::JobEvent& event) { return event.time().seconds() * 1000000000 + event.time().nanos(); }

Status ShuttingDown() {
  return Unavailable("SHUTTING_DOWN", "the server is shutting down", "watch again after the last sequence that came");
}

class FailedWatch : public grpc::ServerWriteReactor<v1::JobEvent> {
 public:
  explicit FailedWatch(const Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

std::vector<v1::JobEvent> ThinProgress(std::vector<v1::JobEvent> events) {
  constexpr int64_t kGapNanos = 1000000000 / limits::kWatchEventsPerSecond;
  std::vector<v1::JobEvent> kept;
  for (size_t i = 0; i < events.size(); ++i) {
    const bool replaced = i + 1 < events.size() && events[i].kind() == "progress" && events[i + 1].kind() == "progress" &&
                          NanosOf(events[i + 1]) - (kept.empty() ? 0 : NanosOf(kept.back())) < kGapNanos;
    if (!replaced) kept.push_back(std::move(events[i]));
  }
  return kept;
}

// Lives in WatchSet::watches_ until gRPC says OnDone; the follower's listener holds it weakly.
class WatchSet::Watch : public grpc::ServerWriteReactor<v1::JobEvent>, public std::enable_shared_from_this<Watch> {
 public:
  Watch(WatchSet* set, std::string tenant, std::string id, uint64_t after)
      : set_(set), tenant_(std::move(tenant)), id_(std::move(id)), after_(after) {}

  void Subscribe() {
    std::weak_ptr<Watch> weak = weak_from_this();
    std::lock_guard<std::mutex> lock(mutex_);  // the first Pump waits until subscription_ is known
    subscription_ = set_->follower_.Subscribe(JobStream(tenant_, id_), [weak] {
      if (const auto self = weak.lock()) self->Pump();
    });
  }

  // On the follower's thread: reads what is new, unless a write is on its way (then OnWriteDone asks again).
  void Pump() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (writing_ || finished_) return;
    const auto stored = set_->state_->ReadStream(JobStream(tenant_, id_), after_, kBuffered);
    if (!stored.ok()) return End(stored.status());
    if (stored->empty()) return FinishIfOver();
    std::vector<v1::JobEvent> events;
    for (const StoredEvent& event : *stored) {
      const auto record = JobEventFromJson(event.value);
      if (!record.ok()) return End(record.status());
      events.push_back(ToProto(*record, event.stream_sequence));
      after_ = event.stream_sequence;
    }
    for (v1::JobEvent& event : ThinProgress(std::move(events))) buffer_.push_back(std::move(event));
    WriteNext();
  }

  void Close(const Status& status) {
    std::lock_guard<std::mutex> lock(mutex_);
    End(status);
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    if (finish_after_write_) return End(end_status_);
    if (!ok) return End(Error(StatusCode::kCancelled, "", "the reader is gone"));
    buffer_.pop_front();
    if (!buffer_.empty()) return WriteNext();
    set_->follower_.Poke(subscription_);
  }

  void OnCancel() override { Close(Error(StatusCode::kCancelled, "CANCELLED", "the call was cancelled or its deadline passed")); }

  void OnDone() override {
    set_->follower_.Unsubscribe(subscription_);
    const auto self = shared_from_this();  // until the end of this function
    std::lock_guard<std::mutex> lock(set_->mutex_);
    set_->watches_.erase(self);
  }

 private:
  void WriteNext() {
    writing_ = true;
    StartWrite(&buffer_.front());
  }

  // All events are sent; the stream ends when the job is over. A job that was deleted meanwhile is over too.
  void FinishIfOver() {
    const auto view = set_->directory_->Get(tenant_, id_);
    if (absl::IsNotFound(view.status())) return End(absl::OkStatus());
    if (!view.ok() || !IsFinal(view->record.state)) return;
    // The record was read after the events: look once more, so that the last event is never missed.
    const auto more = set_->state_->ReadStream(JobStream(tenant_, id_), after_, 1);
    if (more.ok() && more->empty()) End(absl::OkStatus());
    if (more.ok() && !more->empty()) set_->follower_.Poke(subscription_);
  }

  void End(const Status& status) {
    if (finished_) return;
    if (writing_) {  // gRPC wants one operation at a time; a cancelled write comes back at once
      finish_after_write_ = true;
      end_status_ = status;
      return;
    }
    finished_ = true;
    Finish(ToGrpc(status));
  }

  WatchSet* const set_;
  const std::string tenant_, id_;
  std::mutex mutex_;
  uint64_t after_;
  uint64_t subscription_ = 0;
  std::deque<v1::JobEvent> buffer_;
  bool writing_ = false, finished_ = false, finish_after_write_ = false;
  Status end_status_;
};

WatchSet::WatchSet(std::shared_ptr<StateStore> state, JobDirectory* directory)
    : state_(state), directory_(directory), follower_(state) {}

grpc::ServerWriteReactor<v1::JobEvent>* WatchSet::Fail(const Status& status) { return new FailedWatch(status); }

grpc::ServerWriteReactor<v1::JobEvent>* WatchSet::Start(const std::string& tenant, const std::string& id,
                                                        uint64_t after) {
  const auto view = directory_->Get(tenant, id);
  if (!view.ok()) return Fail(view.status());
  auto watch = std::make_shared<Watch>(this, tenant, id, after);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return Fail(ShuttingDown());
    watches_.insert(watch);
  }
  watch->Subscribe();
  return watch.get();
}

void WatchSet::Shutdown() {
  std::set<std::shared_ptr<Watch>> open;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    open = watches_;
  }
  for (const auto& watch : open) watch->Close(ShuttingDown());
}

}  // namespace swage
