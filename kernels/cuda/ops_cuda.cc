#include "kernels/cuda/ops_cuda.h"

#include <cuda_runtime_api.h>

#include <string_view>

#include "base/text.h"
#include "kernels/api/check.h"
#include "kernels/cuda/launch.h"

namespace swage {
namespace {

constexpr cudaStream_t kStream = nullptr;  // the default stream

Status CudaError(cudaError_t error, std::string_view what) {
  if (error == cudaSuccess) return Status();
  if (error == cudaErrorMemoryAllocation) {
    return Error(StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                 Cat(what, ": no device memory left"));
  }
  return Internal(Cat("CUDA ", what, ": ", cudaGetErrorString(error)));
}

Status NotHere(std::string_view op) {
  return Error(StatusCode::kUnimplemented, "KERNEL_OP", Cat("CUDA has no ", op),
               "run this op on the CPU");
}

cuda::Matrix MatrixOf(const QuantizeArgs& args, const QuantizeLayout& layout) {
  cuda::Matrix m;
  m.codec = layout.codec;
  m.grid = layout.grid;
  m.w = args.w;
  m.importance = args.importance;
  m.codes = args.codes;
  m.scales = args.scales;
  m.zeros = args.symmetric ? nullptr : args.zeros;
  m.minima = args.symmetric ? nullptr : args.minima;
  m.global = layout.two_level ? args.global_scale : nullptr;
  return m;
}

cuda::Narrow NarrowOf(DType type) {
  if (type == DType::kF16) return cuda::Narrow::kF16;
  return type == DType::kBF16 ? cuda::Narrow::kBF16 : cuda::Narrow::kFp8;
}

}  // namespace

StatusOr<std::unique_ptr<Ops>> CudaOps::Create(int device) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || device < 0 || device >= devices) {
    return NotFound("NO_DEVICE", Cat("no CUDA device ", device, " (", devices, " present)"),
                    "use the CPU, or check the driver with nvidia-smi");
  }
  SWAGE_RETURN_IF_ERROR(CudaError(cudaSetDevice(device), "set device"));
  cudaDeviceProp properties{};
  SWAGE_RETURN_IF_ERROR(
      CudaError(cudaGetDeviceProperties(&properties, device), "device properties"));
  std::unique_ptr<CudaOps> ops(new CudaOps);
  SWAGE_ASSIGN_OR_RETURN(ops->gemm_, cuda::GemmLt::Create());
  SWAGE_RETURN_IF_ERROR(CudaError(cudaMalloc(reinterpret_cast<void**>(&ops->partial_),
                                             2 * cuda::kTensorPartials * sizeof(float)),
                                  "scratch"));
  ops->numerics_class_ = Cat("cuda/sm_", properties.major, properties.minor, "/sms-",
                             properties.multiProcessorCount, "/cublaslt-", cublasLtGetVersion());
  return std::unique_ptr<Ops>(std::move(ops));
}

CudaOps::~CudaOps() {
  if (partial_ != nullptr) cudaFree(partial_);
}

Status CudaOps::Gemm(const GemmArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckGemm(args));
  if (args.m == 0 || args.n == 0) return Status();
  if (args.accumulate && args.k == 0) return Status();
  const bool prefill = args.bias != nullptr || args.k == 0;
  if (prefill) {
    // The bias is what the sums start from; in BF16 that would round it first.
    if (args.c_type != DType::kF32) return NotHere("bias of a BF16 product");
    SWAGE_RETURN_IF_ERROR(
        CudaError(cuda::FillRows(args.m, args.n, args.bias, static_cast<float*>(args.c), kStream),
                  "fill with bias"));
  }
  return args.k == 0 ? Status() : gemm_->Run(args, prefill || args.accumulate, kStream);
}

Status CudaOps::RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                        float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("rms norm", rows, h));
  if (rows == 0 || h == 0) return Status();
  return CudaError(cuda::RmsNorm(rows, h, x, weight, eps, y, kStream), "rms norm");
}

Status CudaOps::SwiGlu(int64_t n, const float* gate, const float* up, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("swiglu", n, 1));
  return n == 0 ? Status() : CudaError(cuda::SwiGlu(n, gate, up, y, kStream), "swiglu");
}

Status CudaOps::Add(int64_t n, const float* x, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("add", n, 1));
  return n == 0 ? Status() : CudaError(cuda::Add(n, x, y, kStream), "add");
}

Status CudaOps::Quantize(const QuantizeArgs& args) {
  SWAGE_ASSIGN_OR_RETURN(const QuantizeLayout layout, CheckQuantize(args, true));
  if (args.out == 0 || args.in == 0) return Status();
  cuda::QuantizeSteps steps;
  steps.make_scales = !args.given_scales;
  steps.make_global = layout.two_level && steps.make_scales && !args.given_global;
  return CudaError(cuda::Quantize(MatrixOf(args, layout), steps, partial_, kStream), "quantize");
}

Status CudaOps::Dequantize(const QuantizeArgs& args, float* w) {
  SWAGE_ASSIGN_OR_RETURN(const QuantizeLayout layout, CheckQuantize(args, false));
  if (args.out == 0 || args.in == 0) return Status();
  return CudaError(cuda::Dequantize(MatrixOf(args, layout), w, kStream), "dequantize");
}

Status CudaOps::FakeQuantize(const FakeQuantizeArgs& args) {
  SWAGE_ASSIGN_OR_RETURN(const QuantizeLayout layout, CheckFakeQuantize(args));
  if (args.rows == 0 || args.n == 0) return Status();
  return CudaError(cuda::FakeQuantize(layout.codec, ScaleCount(layout.grid), args.group,
                                      layout.two_level ? args.global_scale : 1.0f,
                                      args.static_scale, args.x, kStream),
                   "fake quantize");
}

Status CudaOps::FakeQuantizeRows(int64_t rows, int64_t n, const std::string& format, float* x) {
  SWAGE_ASSIGN_OR_RETURN(const FakeQuantizeArgs args, RowsAsArgs(rows, n, format, x));
  return FakeQuantize(args);
}

Status CudaOps::PackRows(int64_t rows, int64_t n, int bits, const int8_t* codes, int32_t* words) {
  SWAGE_RETURN_IF_ERROR(CheckPack("pack", {rows, n, CodePacking::kWords, bits}));
  if (rows == 0 || n == 0) return Status();
  return CudaError(
      cuda::PackWords(rows, n, bits, codes, reinterpret_cast<uint32_t*>(words), kStream), "pack");
}

Status CudaOps::UnpackRows(int64_t rows, int64_t n, int bits, const int32_t* words, int8_t* codes) {
  return UnpackCodes({rows, n, CodePacking::kWords, bits}, reinterpret_cast<const uint8_t*>(words),
                     codes);
}

Status CudaOps::PackCodes(const PackArgs& args, const int8_t* codes, uint8_t* bytes) {
  SWAGE_RETURN_IF_ERROR(CheckPack("pack", args));
  if (args.rows == 0 || args.n == 0) return Status();
  return CudaError(
      cuda::PackCodes(args.rows, args.n, args.packing, args.bits, codes, bytes, kStream), "pack");
}

Status CudaOps::UnpackCodes(const PackArgs& args, const uint8_t* bytes, int8_t* codes) {
  SWAGE_RETURN_IF_ERROR(CheckPack("unpack", args));
  if (args.rows == 0 || args.n == 0) return Status();
  return CudaError(
      cuda::UnpackCodes(args.rows, args.n, args.packing, args.bits, bytes, codes, kStream),
      "unpack");
}

Status CudaOps::CastToF32(int64_t n, const void* x, DType type, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("cast", n, 1));
  SWAGE_RETURN_IF_ERROR(CheckCast(type));
  if (n == 0) return Status();
  if (type == DType::kF32) {
    return CudaError(cudaMemcpyAsync(y, x, n * sizeof(float), cudaMemcpyDeviceToDevice, kStream),
                     "copy");
  }
  return CudaError(cuda::Widen(NarrowOf(type), n, x, y, kStream), "cast");
}

Status CudaOps::CastFromF32(int64_t n, const float* x, DType type, void* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("cast", n, 1));
  SWAGE_RETURN_IF_ERROR(CheckCast(type));
  if (n == 0) return Status();
  if (type == DType::kF32) {
    return CudaError(cudaMemcpyAsync(y, x, n * sizeof(float), cudaMemcpyDeviceToDevice, kStream),
                     "copy");
  }
  return CudaError(cuda::NarrowTo(NarrowOf(type), n, x, y, kStream), "cast");
}

Status CudaOps::Embed(int64_t, int64_t, int64_t, const int32_t*, const void*, DType, float*) {
  return NotHere("embedding");
}
Status CudaOps::CrossEntropy(int64_t, int64_t, const float*, const int32_t*, float*) {
  return NotHere("cross entropy");
}
Status CudaOps::CompareLogits(int64_t, int64_t, const float*, const float*, float*, uint8_t*) {
  return NotHere("comparison of logits");
}
Status CudaOps::ErrorSums(int64_t, const float*, const float*, double*, double*) {
  return NotHere("error sums");
}
StatusOr<bool> CudaOps::AllFinite(int64_t, const float*) { return NotHere("test of finiteness"); }

StatusOr<std::unique_ptr<Ops>> NewCudaOps(int device) { return CudaOps::Create(device); }

}  // namespace swage
