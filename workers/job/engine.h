// Runs one recipe on one model: what `swage compress` calls directly and what the child process of
// a job calls. No gRPC here. Stages, in order: load, calibrate (if any method needs it), block[i],
// evaluate, encode. (stage_inputs, upload and commit belong to the daemon.)
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/env.h"
#include "base/limits.h"
#include "base/status.h"
#include "base/telemetry/trace.h"

namespace swage {

struct Progress {
  std::string stage;        // "block[3]"
  double fraction = 0;      // of the whole job, never decreasing within an attempt
  double eta_seconds = -1;  // < 0: not known yet
  std::string message;      // for people; may be empty
  uint64_t peak_bytes = 0;  // resident memory so far
};

struct EngineRequest {
  std::string model_dir;                     // dense Hugging Face folder
  std::string recipe_json;                   // Recipe::ToJson
  std::map<std::string, std::string> texts;  // path as written in the recipe -> file on disk
  std::string out_dir;                       // made complete by rename; must not exist
  std::string scratch_dir;  // checkpoints live here; a later run with the same action digest
                            // continues from them
  Digest model_digest;      // manifest id; zero in `swage compress` (then computed)
  std::map<std::string, Digest> text_digests;
  int threads = 0;  // 0: all cores
  uint64_t memory_limit_bytes =
      0;  // 0: none; exceeding it fails the job with OOM_REAL, not the machine
  // Where jobs share what they find out about a model (workers/job/calibration.h); "": nowhere.
  std::string cache_dir;
  // Of a calibration, kept in memory; more go to files in scratch_dir.
  uint64_t hidden_state_bytes = static_cast<uint64_t>(limits::kHiddenStateBytes);
  // Checkpoints stay when the job is done: the artifact is not safe yet where the caller uploads it.
  bool keep_checkpoint = false;
  std::vector<std::string> devices;  // beside the CPU; of methods that compute there
  int rank = 0, world = 1;           // a gang's member, for methods that share their work
  std::vector<std::string> peers;    // addresses by rank
  std::string session;               // of the gang's one attempt: the same for all members, another for the next attempt
  SpanContext trace_parent;
};

struct EngineHooks {
  std::function<void(const Progress&)> progress;  // may be null; called from the engine's thread
  std::function<bool()> cancelled;                // may be null; asked at least once a second
  // May be null. True: end with CANCELLED/STOPPED as soon as nothing is lost by it, which is when
  // the block under way is in the checkpoint; at once in any other stage.
  std::function<bool()> stopping;
  Tracer* tracer = nullptr;                       // may be null
  // Of a gang (`world` > 1): hands over how this member is reached, and gives what all members said, by rank.
  std::function<StatusOr<std::vector<std::string>>(const std::string& mine)> meet;
};

// On success out_dir holds the artifact with its report.json, whose text is returned. On
// cancellation: CANCELLED.
StatusOr<std::string> RunRecipe(Env* env, const EngineRequest& request, const EngineHooks& hooks);

// What members of a gang can use here, as a worker reports it beside its devices' features: "gloo" or nothing.
std::vector<std::string> EngineFeatures();

struct EvalRequest {
  std::string model_dir;  // dense, or one of our artifacts
  std::string text_file;
  int64_t window = 512;
  int64_t max_windows = 0;  // 0: all
  std::string logits_out;   // "" none; .npy f32 [tokens (+1 with BOS), vocab]
  int64_t logits_tokens = 64;
  std::string compute = "f32";  // or "bf16"
  int threads = 0;
};
struct EvalResult {
  double perplexity = 0, nll = 0, bits_per_byte = 0, seconds = 0;
  int64_t tokens = 0, windows = 0, bytes = 0;
};
StatusOr<EvalResult> Evaluate(Env* env, const EvalRequest& request, const EngineHooks& hooks);

}  // namespace swage
