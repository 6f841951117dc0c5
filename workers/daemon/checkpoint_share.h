// Checkpoints on their way between workers: an attempt's checkpoint folder as an artifact of kind "checkpoint" in the
// store, visible by its id only. Both directions are best effort: without them a job starts anew, and never fails. What
// is taken over is believed by the engine alone, which compares the action, the numerics class and every digest.
// No gRPC in this header. One attempt's; Cancel may be called from any thread.
#pragma once

#include <string>

#include "base/digest.h"
#include "base/env.h"
#include "services/kit/artifact_client.h"

namespace swage {

class CheckpointShare {
 public:
  // `work`: the folder that the engine writes its checkpoint to. `stage`: one beside it, for this object's use.
  CheckpointShare(Env* env, const std::string& store_address, const std::string& tenant, std::string work,
                  std::string stage);
  // Brings `artifact` into the folder when it holds more blocks than what is there. Logs why not.
  void TakeOver(const std::string& artifact);
  // The id of what the folder holds now; "" when there is nothing that has not been shared.
  StatusOr<std::string> Share();
  void Cancel() { client_.Cancel(); }

 private:
  Status TryTakeOver(const std::string& artifact);
  Status Snapshot(Digest* state);

  Env* const env_;
  const std::string work_, stage_;
  ArtifactClient client_;
  Digest shared_;  // of the state file that was shared last
};

}  // namespace swage
