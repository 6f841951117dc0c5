// Stage "load": everything that can be wrong is found here, before any work is done.
#include <algorithm>
#include <set>

#include "base/modelfile/manifest.h"
#include "workers/catalog/catalog.h"
#include "workers/job/job.h"
#include "workers/methods/registry.h"
#include "workers/runtime/buffer.h"
#include "workers/runtime/score.h"

namespace swage {
namespace {

constexpr int64_t kScanElements = 4 << 20;

// The manifest id, which is what the store would name this folder. A folder with links (a Hub
// cache) has no manifest: then the names and digests of its files.
StatusOr<Digest> FolderDigest(Env* env, const std::string& dir) {
  auto manifest = BuildManifest(env, dir, "model", nullptr);
  if (manifest.ok()) return manifest->Id();
  SWAGE_ASSIGN_OR_RETURN(std::vector<DirEntry> entries, env->ListDir(dir));
  Sha256 sha;
  for (const DirEntry& entry : entries) {
    auto digest = FileDigest(env, JoinPath(dir, entry.name));
    if (digest.ok()) sha.Update(Cat(entry.name, "\n", digest->Hex(), "\n"));
  }
  return sha.Finish();
}

Status PrepareModel(Job* job) {
  SWAGE_ASSIGN_OR_RETURN(Recipe recipe, RecipeFromJson(job->request.recipe_json));
  SWAGE_ASSIGN_OR_RETURN(job->original, Model::Open(job->env, job->request.model_dir));
  const ModelConfig& config = job->original->config();
  if (!config.quantization_json.empty()) {
    return InvalidInput("ALREADY_QUANTIZED",
                        Cat(job->request.model_dir, " has a quantization_config"),
                        "start from the original, dense model");
  }
  SWAGE_ASSIGN_OR_RETURN(job->plan, MakePlan(recipe, config));
  job->method = FindMethodImplementation(job->step().method);
  if (job->method == nullptr || recipe.steps.size() != 1) {
    return InvalidInput(
        "UNSUPPORTED_METHOD",
        Cat("method ", job->step().method, ", ", recipe.steps.size(), " steps"),
        "this build runs recipes of one step of a method that `swage methods` lists");
  }
  job->exporter = FindExporter(recipe.export_format);
  if (job->exporter == nullptr) {
    return InvalidInput("UNKNOWN_EXPORT", Cat("export format '", recipe.export_format, "'"),
                        "use compressed-tensors");
  }
  SWAGE_ASSIGN_OR_RETURN(job->artifact_config_json, job->exporter->ConfigJson(config, job->plan));
  SWAGE_ASSIGN_OR_RETURN(job->artifact_config, ParseModelConfig(job->artifact_config_json));
  return absl::OkStatus();
}

StatusOr<std::string> TextFile(const Job& job, const std::string& path) {
  auto it = job.request.texts.find(path);
  if (it == job.request.texts.end()) {
    return InvalidInput("TEXT_MISSING", Cat("the recipe names ", path, ", which was not given"),
                        "upload the text together with the recipe");
  }
  return it->second;
}

Status PrepareText(Job* job, const std::string& use, const TextWindows& section,
                   const Tokenizer& tokenizer) {
  SWAGE_ASSIGN_OR_RETURN(std::string file, TextFile(*job, section.text));
  DataReport data{use, section.text};
  SWAGE_ASSIGN_OR_RETURN(data.bytes, job->env->FileSize(file));
  auto given = job->request.text_digests.find(section.text);
  if (given != job->request.text_digests.end()) {
    data.sha256 = given->second;
  } else {
    SWAGE_ASSIGN_OR_RETURN(data.sha256, FileDigest(job->env, file));
  }
  job->data.push_back(data);
  SWAGE_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, ReadTokens(job->env, tokenizer, file));
  const std::optional<int32_t> bos = BosToken(job->original->config(), tokenizer);
  if (use == "evaluate") {
    SWAGE_ASSIGN_OR_RETURN(job->windows, MakeWindows(tokens, tokenizer, bos, section.window,
                                                     section.samples));
    job->data.back().windows = job->windows->count;
  } else if (FindMethod(job->step().method)->needs_calibration) {
    SWAGE_ASSIGN_OR_RETURN(job->calibration_windows,
                           MakeCalibrationWindows(tokens, bos, section.window, section.samples,
                                                  section.shuffle, job->plan.recipe.seed));
    job->data.back().windows = job->calibration_windows->count;
  }
  return absl::OkStatus();
}

Status PrepareTexts(Job* job) {
  const Recipe& recipe = job->plan.recipe;
  if (!recipe.evaluate && !recipe.calibrate) return absl::OkStatus();
  SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer,
                         Tokenizer::Load(job->env, job->request.model_dir));
  if (recipe.calibrate)
    SWAGE_RETURN_IF_ERROR(PrepareText(job, "calibrate", *recipe.calibrate, *tokenizer));
  if (recipe.evaluate)
    SWAGE_RETURN_IF_ERROR(PrepareText(job, "evaluate", *recipe.evaluate, *tokenizer));
  return absl::OkStatus();
}

Status CheckFinite(Job* job) {
  const TensorSource& tensors = job->original->tensors();
  const std::vector<std::string> names = tensors.Names();
  Buffer<float> values(kScanElements);
  double total = 1, done = 0;
  for (const std::string& name : names)
    total += static_cast<double>(tensors.Find(name)->bytes.size());
  for (const std::string& name : names) {
    const TensorView view = *tensors.Find(name);
    if (!IsFloating(view.info->dtype)) continue;
    const int64_t count = view.info->elements();
    for (int64_t at = 0; at < count; at += kScanElements) {
      const int64_t now = std::min(kScanElements, count - at);
      SWAGE_RETURN_IF_ERROR(ReadF32Once(job->ops.get(), tensors, view, at, now, values.data()));
      SWAGE_ASSIGN_OR_RETURN(bool finite, job->ops->AllFinite(now, values.data()));
      if (!finite) {
        return InvalidInput(
            "WEIGHTS_NOT_FINITE", Cat("tensor ", name, " holds NaN or infinity"),
            "the model is damaged, or its training diverged: use another checkpoint");
      }
      SWAGE_RETURN_IF_ERROR(job->supervisor.Check());
    }
    tensors.DontNeed(name);
    done += static_cast<double>(view.bytes.size());
    job->supervisor.Advance(done / total);
  }
  return absl::OkStatus();
}

Status CheckDisk(const Job& job) {
  const std::string parent = DirName(job.request.out_dir);
  SWAGE_RETURN_IF_ERROR(job.env->CreateDirs(parent));
  SWAGE_ASSIGN_OR_RETURN(uint64_t free_bytes, job.env->FreeBytes(parent));
  const uint64_t needed = job.plan.estimate.artifact_bytes;
  if (free_bytes >= needed) return absl::OkStatus();
  return Error(StatusCode::kResourceExhausted, "DISK_FULL",
               Cat("the artifact needs about ", HumanBytes(static_cast<double>(needed)), ", ",
                   parent, " has ", HumanBytes(static_cast<double>(free_bytes)), " free"),
               "free space there, or choose another folder");
}

// Guesses of seconds; what is measured replaces them as the job goes.
void PlanProgress(Job* job) {
  ProgressModel& progress = job->supervisor.plan();
  const ModelConfig& config = job->original->config();
  double block_weights = 0, bytes = 0;
  double block_squares = 0;  // of the widths of distinct inputs
  // Of an average block.
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    std::set<int> inputs;
    for (const LinearSpec& spec : job->original->linears(layer)) {
      block_weights +=
          static_cast<double>(spec.out * spec.in) / static_cast<double>(config.layers);
      if (inputs.insert(spec.input_group).second) {
        block_squares += static_cast<double>(spec.in * spec.in) * spec.share /
                         static_cast<double>(config.layers);
      }
    }
  }
  for (const std::string& name : job->original->tensors().Names()) {
    bytes += static_cast<double>(job->original->tensors().Find(name)->bytes.size());
  }
  double block_seconds = block_weights / 1e8;
  if (job->calibration_windows) {
    const double rows =
        static_cast<double>(job->calibration_windows->count * job->calibration_windows->tokens);
    progress.Add("calibrate", "calibrate", rows * static_cast<double>(config.hidden) / 1e9);
    block_seconds += rows * (4 * block_weights + block_squares) / 1e11;
  }
  for (int64_t i = 0; i < config.layers; ++i)
    progress.Add(Cat("block[", i, "]"), "block", block_seconds);
  if (job->windows) {
    const double weights =
        block_weights * config.layers + static_cast<double>(config.vocab * config.hidden);
    const double rows = static_cast<double>(job->windows->count * job->windows->tokens);
    progress.Add("evaluate", "evaluate", 2 * 2 * weights * rows / 1e11);
  }
  progress.Add("encode", "encode", bytes / 5e8);
}

}  // namespace

Status RunLoad(Job* job) {
  SWAGE_RETURN_IF_ERROR(job->supervisor.Begin("load", "reading the model"));
  if (job->env->Exists(job->request.out_dir)) {
    return InvalidInput("OUT_DIR_EXISTS", Cat(job->request.out_dir, " is already there"),
                        "choose another folder");
  }
  SWAGE_RETURN_IF_ERROR(PrepareModel(job));
  job->ops = NewCpuOps(job->request.threads);
  SWAGE_RETURN_IF_ERROR(PrepareTexts(job));
  SWAGE_RETURN_IF_ERROR(CheckDisk(*job));
  PlanProgress(job);
  SWAGE_RETURN_IF_ERROR(CheckFinite(job));
  job->model_digest = job->request.model_digest;
  if (job->model_digest == Digest()) {
    SWAGE_ASSIGN_OR_RETURN(job->model_digest, FolderDigest(job->env, job->request.model_dir));
  }
  std::vector<Digest> texts;
  for (const DataReport& data : job->data) texts.push_back(data.sha256);
  job->action_digest = ActionDigest(job->plan.recipe, job->model_digest, texts);
  job->numerics_class = job->ops->NumericsClass();
  if (job->windows) {
    job->numerics_class += Cat("/", BatchingClass(job->original->config(), job->windows->tokens));
  }
  if (job->calibration_windows) {
    job->numerics_class += Cat("/calibrate-", BatchingClass(job->original->config(),
                                                            job->calibration_windows->tokens));
  }
  auto checkpoint =
      Checkpoint::Open(job->env, job->request.scratch_dir, job->action_digest, job->numerics_class);
  if (!checkpoint.ok()) return checkpoint.status();
  job->checkpoint = std::move(checkpoint).value();
  return absl::OkStatus();
}

}  // namespace swage
