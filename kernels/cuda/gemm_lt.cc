#include "kernels/cuda/gemm_lt.h"

#include <algorithm>

#include "base/text.h"

namespace swage::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr size_t kMaxPlans = 512;

Status LtError(cublasStatus_t status, std::string_view what) {
  return Internal(Cat("cuBLASLt ", what, ": ", cublasLtGetStatusString(status)));
}

#define SWAGE_LT(call)                                                        \
  do {                                                                        \
    const cublasStatus_t swage_lt_ = (call);                                  \
    if (swage_lt_ != CUBLAS_STATUS_SUCCESS) return LtError(swage_lt_, #call); \
  } while (0)

cudaDataType_t TypeOf(DType type) { return type == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F; }

// The largest power of two, up to 256, that divides the address.
unsigned AlignmentOf(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return address == 0 ? 256u
                      : static_cast<unsigned>(std::min<uintptr_t>(256, address & (~address + 1)));
}

struct PreferenceDeleter {
  void operator()(cublasLtMatmulPreferenceOpaque_t* p) const { cublasLtMatmulPreferenceDestroy(p); }
};

}  // namespace

struct GemmLt::Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  bool possible = false;
  ~Plan() {
    if (operation != nullptr) cublasLtMatmulDescDestroy(operation);
    for (cublasLtMatrixLayout_t layout : {a, b, c}) {
      if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
    }
  }
};

StatusOr<std::unique_ptr<GemmLt>> GemmLt::Create() {
  std::unique_ptr<GemmLt> gemm(new GemmLt);
  SWAGE_LT(cublasLtCreate(&gemm->handle_));
  if (cudaMalloc(&gemm->workspace_, kWorkspaceBytes) != cudaSuccess) {
    return Error(StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                 "no device memory for cuBLASLt's workspace");
  }
  return gemm;
}

GemmLt::~GemmLt() {
  plans_.clear();
  if (workspace_ != nullptr) cudaFree(workspace_);
  if (handle_ != nullptr) cublasLtDestroy(handle_);
}

// cuBLASLt counts in columns: our row-major C [m, n] is its [n, m], the product of B and A, each of
// which it sees transposed: what we multiply as stored, it has to transpose, and the other way round.
StatusOr<const GemmLt::Plan*> GemmLt::PlanOf(const GemmArgs& args, bool accumulate,
                                             const GemmStrides& strides) {
  const bool b_across = args.layout == GemmLayout::kNT, a_down = args.layout == GemmLayout::kTN;
  const int64_t b_row = b_across ? args.k : args.n, b_rows = b_across ? args.n : args.k;
  const int64_t a_row = a_down ? args.m : args.k, a_rows = a_down ? args.k : args.m;
  const int64_t a_stride = strides.a > 0 ? strides.a : a_row;
  const int64_t b_stride = strides.b > 0 ? strides.b : b_row;
  const int64_t c_stride = strides.c > 0 ? strides.c : args.n;
  const unsigned align_a = AlignmentOf(args.a), align_b = AlignmentOf(args.b),
                 align_c = AlignmentOf(args.c);
  const Key key{args.m,   args.n,      args.k,      a_stride,   b_stride,
                c_stride, args.a_type, args.c_type, accumulate, args.layout,
                align_a,  align_b,     align_c};
  const auto found = plans_.find(key);
  if (found != plans_.end()) return found->second.get();
  if (plans_.size() >= kMaxPlans) plans_.clear();
  auto plan = std::make_unique<Plan>();
  SWAGE_LT(cublasLtMatmulDescCreate(&plan->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t b_operation = b_across ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t a_operation = a_down ? CUBLAS_OP_T : CUBLAS_OP_N;
  SWAGE_LT(cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                          &b_operation, sizeof b_operation));
  SWAGE_LT(cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_TRANSB,
                                          &a_operation, sizeof a_operation));
  SWAGE_LT(cublasLtMatrixLayoutCreate(&plan->b, TypeOf(args.b_type), b_row, b_rows, b_stride));
  SWAGE_LT(cublasLtMatrixLayoutCreate(&plan->a, TypeOf(args.a_type), a_row, a_rows, a_stride));
  SWAGE_LT(cublasLtMatrixLayoutCreate(&plan->c, TypeOf(args.c_type), args.n, args.m, c_stride));

  cublasLtMatmulPreference_t raw = nullptr;
  SWAGE_LT(cublasLtMatmulPreferenceCreate(&raw));
  const std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, PreferenceDeleter> preference(raw);
  const uint32_t no_split_sums = CUBLASLT_REDUCTION_SCHEME_NONE;
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                       size_t size) {
    return cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, value, size);
  };
  SWAGE_LT(set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspaceBytes, sizeof kWorkspaceBytes));
  SWAGE_LT(set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &no_split_sums, sizeof no_split_sums));
  SWAGE_LT(set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align_b, sizeof align_b));
  SWAGE_LT(set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align_a, sizeof align_a));
  SWAGE_LT(set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align_c, sizeof align_c));
  SWAGE_LT(set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align_c, sizeof align_c));
  cublasLtMatmulHeuristicResult_t choice{};
  int choices = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle_, plan->operation, plan->b, plan->a, plan->c, plan->c,
                                     preference.get(), 1, &choice, &choices);
  plan->possible = status == CUBLAS_STATUS_SUCCESS && choices > 0;
  plan->algorithm = choice.algo;
  return plans_.emplace(key, std::move(plan)).first->second.get();
}

Status GemmLt::Run(const GemmArgs& args, bool accumulate, cudaStream_t stream,
                   const GemmStrides& strides) {
  if (args.a_type != args.b_type || (args.a_type == DType::kF32 && args.c_type != DType::kF32)) {
    return Error(StatusCode::kUnimplemented, "KERNEL_TYPE",
                 Cat("gemm on CUDA: ", DTypeName(args.a_type), " x ", DTypeName(args.b_type),
                     " -> ", DTypeName(args.c_type)));
  }
  SWAGE_ASSIGN_OR_RETURN(const Plan* plan, PlanOf(args, accumulate, strides));
  if (!plan->possible) {
    return Error(StatusCode::kUnimplemented, "KERNEL_SHAPE",
                 Cat("cuBLASLt has no algorithm for ", args.m, " x ", args.n, " x ", args.k));
  }
  const float alpha = 1.0f, beta = accumulate ? 1.0f : 0.0f;
  SWAGE_LT(cublasLtMatmul(handle_, plan->operation, &alpha, args.b, plan->b, args.a, plan->a, &beta,
                          args.c, plan->c, args.c, plan->c, &plan->algorithm, workspace_,
                          kWorkspaceBytes, stream));
  return Status();
}

}  // namespace swage::cuda
