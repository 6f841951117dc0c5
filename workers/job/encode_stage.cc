// Stage "encode": the folder of the artifact is written beside out_dir, read back, and renamed into
// place.
#include "workers/catalog/catalog.h"
#include "workers/exports/model_folder.h"
#include "workers/job/job.h"

namespace swage {
namespace {

constexpr int kReportVersion = 1;

std::map<std::string, uint64_t> BytesByClass(const Job& job, const TensorSource& tensors,
                                             const std::vector<std::string>& names,
                                             bool compressed) {
  std::vector<std::string> quantized;
  if (compressed) {
    for (const LinearPlan& linear : job.plan.quantized) quantized.push_back(linear.module);
  }
  const Architecture& row = job.original->architecture();
  const std::vector<std::string> linears = LinearModules(job.original->config());
  const std::string embedding = TensorName(job.original->config(), row.embedding);
  std::map<std::string, uint64_t> bytes;
  for (const std::string& name : names) {
    bytes[TensorClass(name, quantized, linears, embedding, row.lm_head)] +=
        tensors.Find(name)->bytes.size();
  }
  return bytes;
}

JobReport MakeReport(const Job& job, const TensorSource& compressed,
                     const std::vector<std::string>& names, uint64_t side_bytes) {
  JobReport report;
  report.model_digest = job.model_digest;
  report.action_digest = job.action_digest;
  report.architecture = job.original->config().architecture;
  report.recipe_json = job.plan.recipe.ToJson();
  report.seed = job.plan.recipe.seed;
  report.numerics_class = job.numerics_class;
  report.data = job.data;
  const MethodRow* row = FindMethod(job.step().method);
  report.versions = {{"swage", SWAGE_VERSION},
                     {"report", Cat(kReportVersion)},
                     {Cat("method.", job.step().method), Cat(row != nullptr ? row->version : 0)}};
  std::vector<std::string> original_names;
  for (std::string& name : job.original->tensors().Names()) {
    const bool second_copy = job.original->config().tie_embeddings &&
                             name == Cat(job.original->architecture().lm_head, ".weight");
    if (!second_copy) original_names.push_back(std::move(name));
  }
  report.original_bytes = BytesByClass(job, job.original->tensors(), original_names, false);
  report.artifact_bytes = BytesByClass(job, compressed, names, true);
  report.original_bytes["files"] = report.artifact_bytes["files"] = side_bytes;
  for (const std::string& name : original_names) {
    report.all_weights += job.original->tensors().Find(name)->info->elements();
  }
  for (int64_t layer = 0; layer < job.original->config().layers; ++layer) {
    const FinishedBlock* block = job.checkpoint->Find(Cat("block[", layer, "]"));
    SWAGE_CHECK(block != nullptr, "block ", layer);
    for (const LayerReport& linear : block->layers) {
      report.layers.push_back(linear);
      report.quantized_weights += linear.shape[0] * linear.shape[1];
    }
  }
  report.quality = job.quality;
  report.stages = job.stages;
  return report;
}

StatusOr<std::string> FillFolder(Job* job, const std::string& folder) {
  SWAGE_ASSIGN_OR_RETURN(std::shared_ptr<TensorSource> compressed, CompressedTensors(*job));
  const std::vector<std::string> names = ArtifactTensors(*job, *compressed);
  double total = 1;
  for (const std::string& name : names)
    total += 2.0 * static_cast<double>(compressed->Find(name)->bytes.size());
  double before = 0;
  auto done = [&](uint64_t bytes) {
    job->supervisor.Advance((before + static_cast<double>(bytes)) / total);
    return job->supervisor.Check();
  };
  SWAGE_RETURN_IF_ERROR(
      WriteModelFile(job->env, JoinPath(folder, "model.safetensors"), *compressed, names, done));
  before = total / 2;
  SWAGE_RETURN_IF_ERROR(VerifyModelFile(job->env, folder, *compressed, names, done));
  SWAGE_RETURN_IF_ERROR(
      WriteFileAtomic(job->env, JoinPath(folder, "config.json"), job->artifact_config_json));
  SWAGE_ASSIGN_OR_RETURN(uint64_t side_bytes,
                         CopySideFiles(job->env, job->request.model_dir, folder));
  side_bytes += job->artifact_config_json.size();
  job->stages.push_back(job->supervisor.Measure());
  const std::string report = ReportJson(MakeReport(*job, *compressed, names, side_bytes));
  SWAGE_RETURN_IF_ERROR(WriteFileAtomic(job->env, JoinPath(folder, "report.json"), report));
  return report;
}

}  // namespace

StatusOr<std::string> RunEncode(Job* job) {
  SWAGE_RETURN_IF_ERROR(job->supervisor.Begin("encode", "writing the artifact"));
  const std::string folder =
      job->request.out_dir + ".partial";  // an earlier attempt may have left one
  SWAGE_RETURN_IF_ERROR(job->env->RemoveTree(folder));
  SWAGE_RETURN_IF_ERROR(job->env->CreateDirs(folder));
  StatusOr<std::string> report = FillFolder(job, folder);
  Status status = report.status();
  if (status.ok()) status = job->env->SyncDir(folder);
  if (status.ok()) status = job->env->Rename(folder, job->request.out_dir);
  if (status.ok()) status = job->env->SyncDir(DirName(job->request.out_dir));
  if (!status.ok()) {
    (void)job->env->RemoveTree(folder);  // the first error is the one that counts
    return status;
  }
  return report;
}

}  // namespace swage
