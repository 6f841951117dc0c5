// A decoder-only model that can be run: configuration, architecture row, where its tensors are, and
// how its linears are quantized. Nothing is resident: blocks are loaded one at a time, and the pages
// of what has been read are dropped behind the reading (DESIGN 6, block streaming; their order:
// block_stream.h).
//
//   SWAGE_ASSIGN_OR_RETURN(auto model, Model::Open(env, dir));
//   SWAGE_ASSIGN_OR_RETURN(Block block, model->LoadBlock(ops, 0, Compute::kF32));
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/modelfile/architecture.h"
#include "workers/runtime/buffer.h"
#include "workers/runtime/quantization_config.h"
#include "workers/runtime/quantized_linear.h"
#include "workers/runtime/tensor_source.h"

namespace swage {

// f32: everything. bf16: weights and the inputs of matrix products are bf16, attention's where the CPU
// has such instructions; sums, norms, softmax and the residual stream stay f32.
enum class Compute { kF32, kBF16 };

struct Linear {
  int64_t out = 0, in = 0;
  Buffer<float> f32;  // [out, in]; one of f32, bf16 and packed is filled
  Buffer<uint16_t> bf16;
  std::unique_ptr<PackedMatrix> packed;       // of bf16 (PackLinears)
  std::unique_ptr<PackedMatrix> packed_back;  // the same for gradients of inputs
  Buffer<float> bias;       // [out] or empty
  std::string activations;  // "" or the format to which each input row is rounded first

  bool IsNarrow() const {
    return bf16.size() > 0 || packed != nullptr || packed_back != nullptr;
  }
};

struct Norm {
  Buffer<float> weight, bias;  // empty: 1 and 0
};

struct Block {
  int64_t layer = 0;
  // By module within the block: "self_attn.q_proj", "input_layernorm".
  std::map<std::string, Linear, std::less<>> linears;
  std::map<std::string, Norm, std::less<>> norms;
};

struct Head {
  Norm norm;       // as it stands when the configuration has a final norm
  Linear project;  // of out 0: there is none
  Linear linear;
};

class Model {
 public:
  // Reads config.json and maps the weights. Dense models are checked by ValidateModel; the linears
  // of compressed-tensors artifacts when they are loaded.
  static StatusOr<std::unique_ptr<Model>> Open(Env* env, const std::string& dir);
  static StatusOr<std::unique_ptr<Model>> FromParts(ModelConfig config,
                                                    std::shared_ptr<TensorSource> tensors);

  const ModelConfig& config() const { return config_; }
  const Architecture& architecture() const { return *architecture_; }
  const TensorSource& tensors() const { return *tensors_; }
  std::shared_ptr<TensorSource> shared_tensors() const { return tensors_; }
  const QuantizationConfig& quantization() const { return quantization_; }
  std::vector<LinearSpec> linears(int64_t layer) const { return BlockLinears(config_, layer); }

  StatusOr<Block> LoadBlock(Ops* ops, int64_t layer, Compute compute) const;
  StatusOr<Head> LoadHead(Ops* ops, Compute compute) const;
  // The head in parts, for heads that are larger than a block (head_stream.h): what comes before its
  // linear, and rows [begin, begin + count) of that; `begin` is a multiple of HeadRowStep.
  StatusOr<Head> LoadHeadEntry(Ops* ops, Compute compute) const;
  StatusOr<Linear> LoadHeadRows(Ops* ops, int64_t begin, int64_t count, Compute compute) const;
  int64_t HeadRowStep() const;
  // y[windows * tokens, hidden] in f32: what the first block reads. Errors: TOKEN_OUT_OF_RANGE,
  // POSITIONS_EXCEEDED (learned positions end).
  Status Embed(Ops* ops, int64_t windows, int64_t tokens, const int32_t* ids, float* y) const;
  // The effective f32 weight [out, in] of one linear, dequantized and transposed if need be.
  // `module` is the full name; out, in and transposed of `spec` count.
  Status ReadWeight(Ops* ops, const std::string& module, const LinearSpec& spec, float* w) const;
  // Rows [begin, begin + count) of it; `begin` is a multiple of RowStep.
  Status ReadWeightRows(Ops* ops, const std::string& module, const LinearSpec& spec, int64_t begin,
                        int64_t count, float* w) const;
  int64_t RowStep(const std::string& module, const LinearSpec& spec) const;
  // Bytes that reading a linear of so many elements holds beside its result: a slice in f32, its codes
  // and packed words.
  static int64_t ReadingBytes(int64_t elements);
  // Names of what LoadBlock reads.
  std::vector<std::string> BlockTensors(int64_t layer) const;
  // Advice to the kernel that a block's pages are not needed for now.
  void ReleaseBlock(int64_t layer) const;

 private:
  Model() = default;
  StatusOr<Linear> LoadLinear(Ops* ops, const std::string& module, const LinearSpec& spec,
                              Compute compute) const;
  StatusOr<Linear> LoadRows(Ops* ops, const std::string& module, const LinearSpec& spec,
                            int64_t begin, int64_t count, Compute compute) const;
  void CopyRows(const TensorView& stored, int64_t begin, Linear* linear) const;
  Status LoadBf16(Ops* ops, const std::string& module, const LinearSpec& spec, int64_t begin,
                  Linear* linear) const;
  // Null when it is dense.
  const LinearScheme* SchemeOf(const std::string& module, const LinearSpec& spec) const;
  std::vector<std::string> LinearTensors(const std::string& module, const LinearSpec& spec) const;
  StatusOr<Buffer<float>> LoadVector(Ops* ops, const std::string& name, int64_t size) const;
  StatusOr<Norm> LoadNorm(Ops* ops, const std::string& module, int64_t width) const;
  // Rows `ids` of the table [entries, width]; ids are checked.
  Status ReadRows(Ops* ops, const std::string& name, int64_t entries, int64_t width,
                  const std::vector<int32_t>& ids, float* y) const;
  Status ReadSomeRows(Ops* ops, const std::string& name, int64_t entries, int64_t width,
                      int64_t rows, const int32_t* ids, float* y) const;
  Status AddPositions(Ops* ops, int64_t windows, int64_t tokens, float* y) const;

  ModelConfig config_;
  const Architecture* architecture_ = nullptr;
  std::shared_ptr<TensorSource> tensors_;
  QuantizationConfig quantization_;
};

}  // namespace swage
