// `swage eval`: perplexity of a model or artifact, and the logits of its first tokens.
#include <algorithm>
#include <cmath>

#include "workers/job/engine.h"
#include "workers/job/supervisor.h"
#include "workers/runtime/npy.h"
#include "workers/runtime/score.h"

namespace swage {
namespace {

Status WriteLogits(Env* env, const EvalRequest& request, Ops* ops, const Model& model,
                   const std::vector<int32_t>& tokens, std::optional<int32_t> bos, Compute compute,
                   const RunHooks& hooks) {
  if (request.logits_tokens < 1) {
    return InvalidInput("LOGITS_RANGE", Cat("logits of ", request.logits_tokens, " tokens"),
                        "use --tokens 1 or more");
  }
  std::vector<int32_t> ids;
  if (bos) ids.push_back(*bos);
  const int64_t count =
      std::min<int64_t>(request.logits_tokens, static_cast<int64_t>(tokens.size()));
  ids.insert(ids.end(), tokens.begin(), tokens.begin() + count);
  SWAGE_ASSIGN_OR_RETURN(
      NpyWriter writer, NpyWriter::Create(env, request.logits_out, static_cast<int64_t>(ids.size()),
                                          model.config().vocab));
  SWAGE_RETURN_IF_ERROR(
      RunLogits(ops, model, ids, compute, hooks,
                [&](int64_t rows, const float* logits) { return writer.Append(logits, rows); }));
  return writer.Finish();
}

StatusOr<EvalResult> Run(Env* env, const EvalRequest& request, Supervisor* supervisor) {
  SWAGE_RETURN_IF_ERROR(supervisor->Begin("evaluate", request.text_file));
  if (request.compute != "f32" && request.compute != "bf16") {
    return InvalidInput("COMPUTE_UNKNOWN", Cat("compute '", request.compute, "'"),
                        "use f32 or bf16");
  }
  const Compute compute = request.compute == "bf16" ? Compute::kBF16 : Compute::kF32;
  SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, Model::Open(env, request.model_dir));
  SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer,
                         Tokenizer::Load(env, request.model_dir));
  const std::unique_ptr<Ops> ops = NewCpuOps(request.threads);
  const std::optional<int32_t> bos = BosToken(model->config(), *tokenizer);
  SWAGE_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                         ReadTokens(env, *tokenizer, request.text_file));
  SWAGE_ASSIGN_OR_RETURN(WindowSet windows,
                         MakeWindows(tokens, *tokenizer, bos, request.window, request.max_windows));
  RunHooks hooks;
  hooks.check = [&] { return supervisor->Check(); };
  if (!request.logits_out.empty()) {
    SWAGE_RETURN_IF_ERROR(
        WriteLogits(env, request, ops.get(), *model, tokens, bos, compute, hooks));
  }
  hooks.progress = [&](double done, double total) { supervisor->Advance(done / total); };
  SWAGE_ASSIGN_OR_RETURN(Score score,
                         ScoreWindows(ops.get(), *model, nullptr, windows, compute, hooks));
  EvalResult result;
  result.nll = score.model.nll_sum / static_cast<double>(score.scored);
  result.perplexity = std::exp(result.nll);
  result.bits_per_byte = score.model.nll_sum / std::log(2.0) / static_cast<double>(windows.bytes);
  result.tokens = score.scored;
  result.windows = windows.count;
  result.bytes = windows.bytes;
  result.seconds = supervisor->Measure().seconds;
  return result;
}

}  // namespace

StatusOr<EvalResult> Evaluate(Env* env, const EvalRequest& request, const EngineHooks& hooks) {
  Supervisor supervisor(hooks, /*memory_limit_bytes=*/0, SpanContext());
  StatusOr<EvalResult> result = Run(env, request, &supervisor);
  supervisor.End(result.status());
  return result;
}

}  // namespace swage
