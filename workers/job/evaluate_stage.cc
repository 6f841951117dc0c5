// Stage "evaluate": the original and the compressed model over the same windows. The compressed one
// is read from the encoded tensors, as any reader of the artifact will; stage "encode" copies those
// bytes and checks that it did.
#include <cmath>

#include "workers/job/job.h"
#include "workers/runtime/score.h"

namespace swage {

Status RunEvaluate(Job* job) {
  SWAGE_RETURN_IF_ERROR(job->supervisor.Begin("evaluate", Cat(job->windows->count, " windows")));
  SWAGE_ASSIGN_OR_RETURN(std::shared_ptr<TensorSource> tensors, CompressedTensors(*job));
  SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<Model> compressed,
                         Model::FromParts(job->artifact_config, tensors));
  RunHooks hooks;
  hooks.check = [&] { return job->supervisor.Check(); };
  hooks.progress = [&](double done, double total) { job->supervisor.Advance(done / total); };
  SWAGE_ASSIGN_OR_RETURN(
      const MemoryReservation room,
      HostMemory().Reserve(ScoreBytes(*compressed, true, *job->windows, Compute::kF32), "evaluate"));
  SWAGE_ASSIGN_OR_RETURN(Score score, ScoreWindows(job->ops.get(), *compressed, job->original.get(),
                                                   *job->windows, Compute::kF32, hooks));
  const double scored = static_cast<double>(score.scored);
  const double bits = std::log(2.0) * static_cast<double>(job->windows->bytes);
  QualityReport quality;
  quality.original_nll = score.reference.nll_sum / scored;
  quality.compressed_nll = score.model.nll_sum / scored;
  quality.original_bits_per_byte = score.reference.nll_sum / bits;
  quality.compressed_bits_per_byte = score.model.nll_sum / bits;
  quality.kl = score.kl;
  quality.top1_agreement = score.top1_agreement;
  quality.scored_tokens = score.scored;
  quality.windows = job->windows->count;
  quality.window = job->plan.recipe.evaluate->window;
  quality.bytes = job->windows->bytes;
  quality.bos = job->windows->has_bos;
  quality.text = job->plan.recipe.evaluate->text;
  if (!std::isfinite(quality.original_nll) || !std::isfinite(quality.compressed_nll)) {
    return DataLoss("DEGENERATE_RESULT", "the logits of the evaluation are not finite",
                    "check the model; exclude its most sensitive linears with ignore");
  }
  job->supervisor.SetAttribute("swage.perplexity.compressed",
                               Cat(std::exp(quality.compressed_nll)));
  job->quality = quality;
  return absl::OkStatus();
}

}  // namespace swage
