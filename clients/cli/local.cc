#include "clients/cli/local.h"

#include <signal.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/progress.h"
#include "clients/cli/report_view.h"

namespace swage {
namespace {

using Json = nlohmann::ordered_json;

std::atomic<bool> g_interrupted{false};

void OnEngineInterrupt(int) { g_interrupted = true; }

void CatchInterrupts() {
  struct sigaction action {};
  action.sa_handler = OnEngineInterrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // the second one ends the process
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// The engine's hooks: a bar, and an interrupt that cancels.
class ShownWork {
 public:
  ShownWork(const Session& session, Tracer* tracer)
      : display_(StderrStyle(session.color), Clock::Real(), PrintErr) {
    CatchInterrupts();
    hooks_.cancelled = [] { return g_interrupted.load(); };
    hooks_.tracer = tracer;
    if (session.json) return;
    hooks_.progress = [this](const Progress& progress) {
      display_.Update(progress.stage, progress.fraction, progress.eta_seconds, progress.message);
    };
  }
  const EngineHooks& hooks() const { return hooks_; }

 private:
  ProgressDisplay display_;
  EngineHooks hooks_;
};

StatusOr<Digest> DigestOfFile(const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return Sha256Of(file.bytes());
}

}  // namespace

StatusOr<int> RunCompress(const Session& session, const std::string& model_dir, const std::string& recipe_path,
                          const std::string& out_dir, int threads, const std::string& cache_dir) {
  Env* const env = Env::Posix();
  SWAGE_ASSIGN_OR_RETURN(const RecipeSource source, ReadRecipe(env, recipe_path));
  if (env->Exists(out_dir)) {
    return Error(StatusCode::kAlreadyExists, "OUT_EXISTS", Cat(out_dir, " is there already"),
                 "name a folder that does not exist yet, or remove this one");
  }
  EngineRequest request;
  request.model_dir = model_dir;
  request.recipe_json = source.recipe.ToJson();
  request.out_dir = out_dir;
  // Beside the result, so that the rename into place stays on one disk and a second run finds the checkpoints.
  request.scratch_dir = out_dir + ".work";
  request.threads = threads;
  request.cache_dir = cache_dir;
  for (const auto& [written, local] : source.texts) {
    request.texts[written] = local;
    SWAGE_ASSIGN_OR_RETURN(request.text_digests[written], DigestOfFile(local));
  }
  const auto tracer = session.NewTracer();
  Span span = tracer->Start("swage compress", {}, {{"swage.model", model_dir}});
  request.trace_parent = span.context();
  SWAGE_RETURN_IF_ERROR(env->CreateDirs(request.scratch_dir));
  StatusOr<std::string> report = std::string();
  {
    const ShownWork work(session, tracer.get());
    report = RunRecipe(env, request, work.hooks());
  }
  span.SetStatus(report.status());
  SWAGE_RETURN_IF_ERROR(report.status());
  SWAGE_RETURN_IF_ERROR(env->RemoveTree(request.scratch_dir));
  if (session.json) {
    PrintOut(Json{{"folder", out_dir}, {"report", Json::parse(*report, nullptr, false)}}.dump() + "\n");
    return kExitOk;
  }
  SWAGE_ASSIGN_OR_RETURN(const ReportRow row, ReadReport(*report, out_dir));
  PrintOut(ReportTable({row}));
  return kExitOk;
}

StatusOr<int> RunEval(const Session& session, const EvalRequest& request) {
  const auto tracer = session.NewTracer();
  StatusOr<EvalResult> result = EvalResult();
  {
    const ShownWork work(session, tracer.get());
    result = Evaluate(Env::Posix(), request, work.hooks());
  }
  SWAGE_RETURN_IF_ERROR(result.status());
  if (session.json) {
    PrintOut(Json{{"model", request.model_dir},
                  {"text", request.text_file},
                  {"perplexity", result->perplexity},
                  {"nll", result->nll},
                  {"bits_per_byte", result->bits_per_byte},
                  {"tokens", result->tokens},
                  {"windows", result->windows},
                  {"window", request.window},
                  {"bytes", result->bytes},
                  {"dtype", request.compute},
                  {"seconds", result->seconds},
                  {"logits", request.logits_out}}
                 .dump() + "\n");
    return kExitOk;
  }
  char text[256];
  std::snprintf(text, sizeof text, "perplexity     %.4f\nnll            %.6f\nbits per byte  %.6f\n", result->perplexity,
                result->nll, result->bits_per_byte);
  PrintOut(Cat(text, "tokens         ", result->tokens, " in ", result->windows, " windows\ntime           ",
               HumanSeconds(result->seconds), "\n"));
  if (!request.logits_out.empty()) PrintOut(Cat("logits         ", request.logits_out, "\n"));
  return kExitOk;
}

}  // namespace swage
