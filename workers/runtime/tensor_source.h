// Where a model's tensors come from: a folder, one safetensors file, or several of them laid over
// each other (the already compressed blocks of a running job over the model that they came from).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/modelfile/safetensors.h"
#include "base/status.h"
#include "kernels/api/ops.h"

namespace swage {

// Thread-safe. Views stay valid as long as the source, and until DontNeed of the name: sources that
// decode (GGUF) free what they decoded.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual std::optional<TensorView> Find(std::string_view name) const = 0;
  virtual const TensorInfo* Info(std::string_view name) const {  // without its bytes; nullptr: none
    const std::optional<TensorView> found = Find(name);
    return found ? found->info : nullptr;
  }
  virtual std::vector<std::string> Names() const = 0;    // sorted
  virtual void DontNeed(std::string_view name) const {}  // its pages may leave memory
  // Bytes [begin, begin + size) will soon be read: the kernel may fetch them. Returns at once.
  virtual void WillNeed(std::string_view name, uint64_t begin, uint64_t size) const {}
  // The first `size` bytes have been read; unlike DontNeed it leaves views as they are.
  virtual void ReadBehind(std::string_view name, uint64_t size) const {}
};

// model.safetensors or its shards.
StatusOr<std::shared_ptr<TensorSource>> OpenFolderTensors(Env* env, const std::string& dir);
// One safetensors file, whatever its name.
StatusOr<std::shared_ptr<TensorSource>> OpenFileTensors(const std::string& path);
// The first source that has a tensor gives it; names are those of all.
std::shared_ptr<TensorSource> Overlay(std::vector<std::shared_ptr<TensorSource>> sources);

// NOT_FOUND/TENSOR_MISSING, or INVALID_ARGUMENT/TENSOR_SHAPE when it is there with another shape.
StatusOr<TensorView> FindTensor(const TensorSource& source, const std::string& name,
                                const std::vector<int64_t>& shape);
// Elements [begin, begin + count) of a floating tensor as f32. The bytes of a mapped file may be
// unaligned: they are staged when they are. Errors: TENSOR_DTYPE.
Status ReadF32(Ops* ops, const TensorView& tensor, int64_t begin, int64_t count, float* out);
// As ReadF32, in pieces whose pages are dropped as soon as they are converted, so that of a mapped
// tensor next to nothing is resident.
Status ReadF32Once(Ops* ops, const TensorSource& source, const TensorView& tensor, int64_t begin,
                   int64_t count, float* out);
// Whether to fetch what will be read: not with SWAGE_PREFETCH=0 in the environment (to measure, or to
// spare a disk).
bool PrefetchWanted();
bool IsFloating(DType dtype);                              // F32, F16, BF16
std::string ShapeText(const std::vector<int64_t>& shape);  // "[256, 768]"

}  // namespace swage
