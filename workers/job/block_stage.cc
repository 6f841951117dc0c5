// Stages "block[i]": one block's linears are made resident, compressed, encoded, decoded again by
// the ordinary reader, measured, and written to the scratch folder.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/log.h"
#include "kernels/numeric/formats.h"
#include "workers/job/job.h"
#include "workers/recipe/scheme.h"

namespace swage {
namespace {

// Encoded tensors as a source, so that they are decoded by the reader that later reads the file.
class MemoryTensors : public TensorSource {
 public:
  explicit MemoryTensors(std::vector<EncodedTensor> tensors) : tensors_(std::move(tensors)) {
    for (const EncodedTensor& tensor : tensors_) {
      infos_.push_back({tensor.name, tensor.dtype, tensor.shape, 0, tensor.bytes.size()});
    }
  }
  std::optional<TensorView> Find(std::string_view name) const override {
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i].name == name) return TensorView{&infos_[i], tensors_[i].bytes};
    }
    return std::nullopt;
  }
  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const EncodedTensor& tensor : tensors_) names.push_back(tensor.name);
    return names;
  }
  std::vector<EncodedTensor>& tensors() { return tensors_; }

 private:
  std::vector<EncodedTensor> tensors_;
  std::vector<TensorInfo> infos_;
};

constexpr int64_t kSliceElements = 4 << 20;  // read back at a time

struct CompressedLinear {
  std::vector<EncodedTensor> tensors;
  LayerReport report;
};

// Of a linear of this block; lm_head reads what no other linear reads.
int InputGroupOf(const Job& job, const LinearPlan& plan) {
  if (plan.module == job.original->architecture().lm_head) return -1;
  return job.SpecOf(plan.module).input_group;
}

// By input group: the global scale that linears of a two-level format share because serving engines
// fuse them; it is their largest weight's.
StatusOr<std::map<int, float>> FusedGlobalScales(Job* job,
                                                 const std::vector<const LinearPlan*>& linears) {
  std::map<int, float> scales;
  for (const LinearPlan* plan : linears) {
    const FormatRow* row = FindFormat(plan->weights.format);
    if (row == nullptr || row->scale_type != ScaleType::kE4M3) continue;
    const LinearSpec spec = job->SpecOf(plan->module);
    Buffer<float> weight(spec.out * spec.in);
    SWAGE_RETURN_IF_ERROR(
        job->original->ReadWeight(job->ops.get(), plan->module, spec, weight.data()));
    float absmax = 0;
    for (int64_t i = 0; i < spec.out * spec.in; ++i) {
      absmax = std::max(absmax, std::fabs(weight.data()[i]));
    }
    const float bound = row->scale_rule == ScaleRule::kFourOverSix ? 256.0f : kFp8Max;
    const float scale = GlobalScale(absmax, row->max_value, bound);
    const auto [slot, is_first] = scales.try_emplace(InputGroupOf(*job, *plan), scale);
    slot->second = std::min(slot->second, scale);
  }
  return scales;
}

// Reads what is stored as a reader of the artifact will, a slice of rows at a time. Lossless formats
// give back `values` bit for bit; of the others `values` become what they give.
Status ReadBack(Job* job, const LinearPlan& plan, const LinearSpec& spec,
                const std::shared_ptr<TensorSource>& stored, float* values) {
  Ops* ops = job->ops.get();
  SWAGE_ASSIGN_OR_RETURN(
      std::unique_ptr<Model> artifact,
      Model::FromParts(job->artifact_config, Overlay({stored, job->original->shared_tensors()})));
  if (!job->exporter->lossless()) return artifact->ReadWeight(ops, plan.module, spec, values);
  const int64_t step = artifact->RowStep(plan.module, spec);
  const int64_t slice = std::min(spec.out, std::max(step, kSliceElements / spec.in / step * step));
  Buffer<float> decoded(slice * spec.in);
  for (int64_t begin = 0; begin < spec.out; begin += slice) {
    const int64_t rows = std::min(slice, spec.out - begin);
    SWAGE_RETURN_IF_ERROR(
        artifact->ReadWeightRows(ops, plan.module, spec, begin, rows, decoded.data()));
    if (std::memcmp(decoded.data(), values + begin * spec.in,
                    static_cast<size_t>(rows * spec.in) * sizeof(float)) != 0) {
      return Internal(Cat(plan.module, ": what is stored does not decode to what was computed"));
    }
  }
  return absl::OkStatus();
}

// What a method has made of the inputs of a block's linears, one input at a time: linears that read
// the same one follow each other.
class PreparedInputs {
 public:
  explicit PreparedInputs(Job* job) : job_(job) {}
  // Null where the method wants none, or nothing of this linear's input was seen.
  StatusOr<const PreparedInput*> Of(const LinearPlan& plan, const BlockStatistics& statistics) {
    const InputStatistics* seen = statistics.Find(plan.module);
    if (seen != nullptr && seen == latest_) return prepared_.get();
    latest_ = seen;
    prepared_.reset();
    if (seen == nullptr || seen->columns.rows == 0) return nullptr;
    SWAGE_ASSIGN_OR_RETURN(prepared_, job_->method->Prepare(job_->ops.get(),
                                                            {&plan, &job_->step().options, seen}));
    return prepared_.get();
  }

 private:
  Job* job_;
  const InputStatistics* latest_ = nullptr;
  std::unique_ptr<PreparedInput> prepared_;
};

// The linear rounded, and the values that its codes stand for.
StatusOr<QuantizedLinear> QuantizeLinear(Job* job, const LinearTask& task, Buffer<float>* values) {
  Ops* ops = job->ops.get();
  SWAGE_ASSIGN_OR_RETURN(QuantizedLinear q, job->method->Quantize(ops, task));
  SWAGE_RETURN_IF_ERROR(ops->Dequantize(q.Args(), values->data()));
  SWAGE_RETURN_IF_ERROR(CheckNotDegenerate(task.plan->module, q, values->data()));
  SWAGE_RETURN_IF_ERROR(job->method->Verify(task, q, values->data()));
  return q;
}

StatusOr<CompressedLinear> CompressLinear(Job* job, const LinearPlan& plan,
                                          const std::map<int, float>& global_scales,
                                          const PreparedInput* input) {
  Ops* ops = job->ops.get();
  const LinearSpec spec = job->SpecOf(plan.module);
  const int64_t count = spec.out * spec.in;
  SWAGE_ASSIGN_OR_RETURN(Buffer<float> weight, Buffer<float>::Allocate(count));
  SWAGE_ASSIGN_OR_RETURN(Buffer<float> values, Buffer<float>::Allocate(count));
  SWAGE_RETURN_IF_ERROR(
      job->original->ReadWeight(ops, plan.module, spec, weight.data()));
  MethodNotes notes;
  LinearTask task{&plan, &job->step().options, spec.out, spec.in, weight.data()};
  task.input = input;
  task.notes = &notes;
  if (auto found = global_scales.find(InputGroupOf(*job, plan)); found != global_scales.end())
    task.global_scale = found->second;
  SWAGE_ASSIGN_OR_RETURN(QuantizedLinear q, QuantizeLinear(job, task, &values));

  SWAGE_ASSIGN_OR_RETURN(std::vector<EncodedTensor> encoded, job->exporter->Encode(ops, plan, q));
  q = QuantizedLinear();  // only what is stored counts from here on
  auto memory = std::make_shared<MemoryTensors>(std::move(encoded));
  SWAGE_RETURN_IF_ERROR(ReadBack(job, plan, spec, memory, values.data()));
  CompressedLinear result;
  result.report.module = plan.module;
  result.report.shape = {spec.out, spec.in};
  result.report.scheme = SchemeText(plan.weights);
  result.report.activations = ActivationSchemeText(plan.activations);
  result.report.measured = std::move(notes.measured);
  result.report.remarks = std::move(notes.remarks);
  SWAGE_RETURN_IF_ERROR(ops->ErrorSums(count, weight.data(), values.data(), &result.report.error2,
                                       &result.report.norm2));
  for (const EncodedTensor& tensor : memory->tensors()) {
    if (!EndsWith(tensor.name, ".weight_shape")) result.report.stored_bytes += tensor.bytes.size();
  }
  result.tensors = std::move(memory->tensors());
  return result;
}

// Bytes that compressing a block holds: a linear before and after, its codes and packed words, and
// the block as it is stored, twice, for the one before may still be on its way to the disk.
int64_t CompressBytes(const Job& job, const std::vector<const LinearPlan*>& linears) {
  int64_t largest = 0, all = 0;
  for (const LinearPlan* plan : linears) {
    const LinearSpec spec = job.SpecOf(plan->module);
    largest = std::max(largest, spec.out * spec.in);
    all += spec.out * spec.in;
  }
  return largest * (4 + 4 + 1 + 1) + 2 * all + Model::ReadingBytes(largest);
}

// One block on its way: what its linears have become so far.
struct BlockResult {
  std::vector<EncodedTensor> tensors;
  std::vector<LayerReport> layers;
  double error2 = 0, norm2 = 0;
};

bool IsHead(const Job& job, const LinearPlan& plan) {
  return plan.module == job.original->architecture().lm_head;
}

// Statistics for `plan`, which is the first linear of its block, or the head behind the last one.
StatusOr<BlockStatistics> ObserveFor(Job* job, const LinearPlan& plan, int64_t layer,
                                     const BlockResult& so_far) {
  if (!IsHead(*job, plan)) return job->calibration->Observe(layer);
  job->calibration->Compressed(layer, std::make_shared<MemoryTensors>(so_far.tensors));
  return job->calibration->ObserveHead();
}

Status CompressBlock(Job* job, int64_t layer, BlockResult* result) {
  const std::vector<const LinearPlan*> linears = job->LinearsOf(layer);
  using Globals = std::map<int, float>;
  SWAGE_ASSIGN_OR_RETURN(const Globals global_scales, FusedGlobalScales(job, linears));
  const int64_t bytes = CompressBytes(*job, linears);
  MemoryReservation room;
  if (job->calibration == nullptr) {
    SWAGE_ASSIGN_OR_RETURN(room, HostMemory().Reserve(bytes, Cat("block[", layer, "]")));
  }
  const double observed = job->calibration != nullptr ? 0.5 : 0;  // its part of the stage, a guess
  BlockStatistics statistics;
  PreparedInputs inputs(job);
  for (const LinearPlan* plan : linears) {
    const PreparedInput* input = nullptr;
    if (job->calibration != nullptr) {
      if (result->layers.empty() || IsHead(*job, *plan)) {
        SWAGE_ASSIGN_OR_RETURN(statistics, ObserveFor(job, *plan, layer, *result));
        inputs = PreparedInputs(job);
        SWAGE_ASSIGN_OR_RETURN(room, HostMemory().Reserve(bytes, Cat("block[", layer, "]")));
      }
      SWAGE_ASSIGN_OR_RETURN(input, inputs.Of(*plan, statistics));
    }
    SWAGE_ASSIGN_OR_RETURN(CompressedLinear linear,
                           CompressLinear(job, *plan, global_scales, input));
    for (const std::string& remark : linear.report.remarks)
      LogWarning(plan->module, ": ", remark);
    for (EncodedTensor& tensor : linear.tensors) result->tensors.push_back(std::move(tensor));
    result->error2 += linear.report.error2;
    result->norm2 += linear.report.norm2;
    result->layers.push_back(std::move(linear.report));
    job->supervisor.Advance(observed + (1 - observed) * static_cast<double>(result->layers.size()) /
                                           static_cast<double>(linears.size() + 1));
    SWAGE_RETURN_IF_ERROR(job->supervisor.Check());
  }
  return absl::OkStatus();
}

}  // namespace

Status RunBlock(Job* job, int64_t layer) {
  const std::string stage = Cat("block[", layer, "]");
  SWAGE_RETURN_IF_ERROR(job->supervisor.Begin(stage));
  job->blocks->Enter(layer);
  BlockResult result;
  SWAGE_RETURN_IF_ERROR(CompressBlock(job, layer, &result));
  job->blocks->Leave();
  job->supervisor.SetAttribute("swage.block", Cat(layer));
  if (result.norm2 > 0)
    job->supervisor.SetAttribute("swage.relative_error2", Cat(result.error2 / result.norm2));
  if (job->calibration != nullptr)
    job->calibration->Compressed(layer, std::make_shared<MemoryTensors>(result.tensors));
  return job->checkpoint->Add(job->supervisor.Measure(), std::move(result.tensors),
                              std::move(result.layers));
}

}  // namespace swage
