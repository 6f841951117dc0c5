#include "scheduler/state/state_copy.h"

#include <chrono>
#include <thread>

#include "base/digest.h"

namespace swage {
namespace {

constexpr size_t kCopyPage = 1000;
constexpr int kLooks = 20;  // at the leader's beat, spread over the time
constexpr char kBeatKey[] = "-/leader/beat";

using PieceFunction = std::function<Status(const StatePiece&)>;

Status ForEachPiece(MovableStateStore* store, const PieceFunction& function) {
  for (std::string after;;) {
    StatePiece piece;
    SWAGE_ASSIGN_OR_RETURN(piece.records, store->Scan("", after, kCopyPage));
    SWAGE_RETURN_IF_ERROR(function(piece));
    if (piece.records.size() < kCopyPage) break;
    after = piece.records.back().key;
  }
  for (uint64_t after = 0;;) {
    StatePiece piece;
    SWAGE_ASSIGN_OR_RETURN(piece.events, store->ReadEvents(after, kCopyPage));
    SWAGE_RETURN_IF_ERROR(function(piece));
    if (piece.events.size() < kCopyPage) break;
    after = piece.events.back().sequence;
  }
  for (std::string after;;) {
    StatePiece piece;
    SWAGE_ASSIGN_OR_RETURN(piece.stream_ends, store->ScanStreamEnds(after, kCopyPage));
    SWAGE_RETURN_IF_ERROR(function(piece));
    if (piece.stream_ends.size() < kCopyPage) break;
    after = piece.stream_ends.back().stream;
  }
  return absl::OkStatus();
}

// Each field with its length before it, so that no two contents read alike.
class Hasher {
 public:
  void Add(std::string_view text) {
    Add(text.size());
    sha_.Update(text);
  }
  void Add(uint64_t number) { sha_.Update(Cat(number, " ")); }
  void Add(const StatePiece& piece) {
    for (const Record& record : piece.records) {
      Add("record");
      Add(record.key);
      Add(record.version);
      Add(record.value);
    }
    for (const StoredEvent& event : piece.events) {
      Add("event");
      Add(event.sequence);
      Add(event.stream_sequence);
      Add(event.stream);
      Add(event.value);
    }
    for (const StreamEnd& end : piece.stream_ends) {
      Add("end");
      Add(end.stream);
      Add(end.last_stream_sequence);
    }
    result_.records += piece.records.size();
    result_.events += piece.events.size();
    result_.stream_ends += piece.stream_ends.size();
  }
  StatusOr<StateCopyResult> Finish(MovableStateStore* store) {
    SWAGE_ASSIGN_OR_RETURN(result_.incarnation, store->CurrentIncarnation());
    SWAGE_ASSIGN_OR_RETURN(result_.last_sequence, store->LastSequence());
    Add(result_.incarnation);
    Add(result_.last_sequence);
    result_.digest = sha_.Finish().Hex();
    return result_;
  }

 private:
  Sha256 sha_;
  StateCopyResult result_;
};

void Sleep(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

Status CheckNoLeader(MovableStateStore* from, const StateCopyOptions& options) {
  SWAGE_ASSIGN_OR_RETURN(const auto first, from->Get(kBeatKey));
  if (!first.has_value()) return absl::OkStatus();
  for (int i = 0; i < kLooks; ++i) {
    const int ms = options.watch_leader_ms / kLooks;
    options.wait ? options.wait(ms) : Sleep(ms);
    SWAGE_ASSIGN_OR_RETURN(const auto now, from->Get(kBeatKey));
    if (now.has_value() && now->version != first->version) {
      return Precondition("LEADER_ALIVE", "a scheduler leads on the state that should be moved",
                          "stop swage-control and every swage-scheduler (or `swage up`), then "
                          "repeat; --force deposes it instead");
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<StateCopyResult> DigestState(MovableStateStore* store) {
  Hasher hasher;
  SWAGE_RETURN_IF_ERROR(ForEachPiece(store, [&](const StatePiece& piece) {
    hasher.Add(piece);
    return absl::OkStatus();
  }));
  return hasher.Finish(store);
}

StatusOr<StateCopyResult> CopyState(MovableStateStore* from, MovableStateStore* to,
                                    const StateCopyOptions& options) {
  if (options.watch_leader_ms > 0) SWAGE_RETURN_IF_ERROR(CheckNoLeader(from, options));
  SWAGE_RETURN_IF_ERROR(to->BeginImport());
  SWAGE_RETURN_IF_ERROR(from->TakeLeadership(0).status());
  Hasher hasher;
  SWAGE_RETURN_IF_ERROR(ForEachPiece(from, [&](const StatePiece& piece) {
    hasher.Add(piece);
    return to->Import(piece);
  }));
  SWAGE_ASSIGN_OR_RETURN(const StateCopyResult copied, hasher.Finish(from));
  SWAGE_ASSIGN_OR_RETURN(const StateCopyResult again, DigestState(from));
  if (again.digest != copied.digest) {
    return Error(StatusCode::kAborted, "STATE_CHANGED",
                 "the state was written to while it was being copied; the copy is not usable",
                 "stop swage-control and every swage-scheduler, and repeat into an empty target");
  }
  SWAGE_RETURN_IF_ERROR(to->FinishImport(copied.incarnation, copied.last_sequence));
  SWAGE_ASSIGN_OR_RETURN(const StateCopyResult arrived, DigestState(to));
  if (arrived.digest != copied.digest) {
    return DataLoss("STATE_COPY_DIFFERS", "what was copied does not read back as it was",
                    "do not use the copy; the source is unharmed. Please report this");
  }
  return copied;
}

}  // namespace swage
