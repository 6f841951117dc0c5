// What the families of ops answer where an implementation has nothing of its own.
#include <cmath>

#include "base/text.h"
#include "kernels/api/ops.h"

namespace swage {
namespace {

Status Lacks(std::string_view op) {
  return Error(StatusCode::kUnimplemented, "KERNEL_OP", Cat("this device has no ", op),
               "run this op on the CPU");
}

}  // namespace

Status LinalgOps::Syrk(const SyrkArgs&) { return Lacks("rank-k update"); }
Status LinalgOps::MirrorUpper(int64_t, DType, void*) { return Lacks("mirror of a triangle"); }
Status LinalgOps::Cholesky(const CholeskyArgs&) { return Lacks("Cholesky factorization"); }
Status LinalgOps::InverseCholesky(const CholeskyArgs&) { return Lacks("inverse Cholesky factor"); }
Status LinalgOps::TriangularSolve(const TriangularArgs&) { return Lacks("triangular solve"); }
Status LinalgOps::RoundWithFeedback(const FeedbackArgs&) { return Lacks("rounding with feedback"); }
Status LinalgOps::Eigen(const EigenArgs&) { return Lacks("eigenvalues"); }
Status LinalgOps::Svd(const SvdArgs&) { return Lacks("singular values"); }

Status RandomOps::Words(int64_t, const RandomKey&, uint32_t*) { return Lacks("random words"); }
Status RandomOps::Uniform(int64_t, const RandomKey&, float*) { return Lacks("uniform numbers"); }
Status RandomOps::Normal(int64_t, const RandomKey&, float*) { return Lacks("normal numbers"); }
Status RandomOps::RoundToBf16(int64_t, const float*, const RandomKey&, uint16_t*) {
  return Lacks("stochastic rounding to bf16");
}
Status RandomOps::RoundToGrid(int64_t, const float*, float, float, int, int, const RandomKey&,
                              int8_t*) {
  return Lacks("stochastic rounding to a grid");
}
Status RandomOps::Hadamard(const HadamardArgs&) { return Lacks("Hadamard transform"); }

Status SelectOps::TopK(const TopKArgs&, const float*, uint8_t*) { return Lacks("top-k selection"); }
Status SelectOps::KeepNOfM(int64_t, int64_t, int, int, const float*, uint8_t*) {
  return Lacks("N:M selection");
}
Status SelectOps::ApplyMask(int64_t, const uint8_t*, float*) { return Lacks("mask"); }
Status SelectOps::Nearest(int64_t, int64_t, int64_t, const float*, const float*, int32_t*, float*) {
  return Lacks("nearest codeword");
}
StatusOr<KMeansResult> SelectOps::KMeans(const KMeansArgs&) { return Lacks("k-means"); }

Status StatisticsOps::Columns(const ColumnsArgs&, ColumnStatistics*) {
  return Lacks("column statistics");
}
Status StatisticsOps::Histogram(const HistogramArgs&) { return Lacks("histogram"); }

Status TrainOps::LayerNormBackward(const LayerNormGradArgs&) {
  return Lacks("backward of layer norm");
}
Status TrainOps::ActivateBackward(Activation, int64_t, const float*, const float*, const float*,
                                  float*, float*) {
  return Lacks("backward of activations");
}
Status TrainOps::SoftCapBackward(int64_t, float, const float*, float*) {
  return Lacks("backward of soft caps");
}
Status TrainOps::RouteBackward(const RouteGradArgs&) { return Lacks("backward of routing"); }
Status TrainOps::ScatterRowsBackward(const ScatterGradArgs&) {
  return Lacks("backward of scattered rows");
}
Status TrainOps::RmsNormBackward(int64_t, int64_t, const float*, const float*, float, const float*,
                                 float*, float*) {
  return Lacks("backward of rms norm");
}
Status TrainOps::SwiGluBackward(int64_t, const float*, const float*, const float*, float*, float*) {
  return Lacks("backward of swiglu");
}
Status TrainOps::CrossEntropyBackward(int64_t, int64_t, const float*, const int32_t*, float,
                                      float*) {
  return Lacks("backward of cross entropy");
}
Status TrainOps::AttentionBackward(const AttentionGradArgs&) {
  return Lacks("backward of attention");
}
Status TrainOps::EmbedBackward(int64_t, int64_t, int64_t, const int32_t*, const float*, float*) {
  return Lacks("backward of an embedding");
}
Status TrainOps::AdamW(const AdamWArgs&) { return Lacks("AdamW"); }
StatusOr<double> TrainOps::SquaredNorm(int64_t, const float*) { return Lacks("norm"); }

AdamWFactors FactorsOf(const AdamWArgs& args) {
  const double b1 = args.beta1, b2 = args.beta2, step = static_cast<double>(args.step);
  AdamWFactors factors;
  factors.kept = static_cast<float>(1 - static_cast<double>(args.lr) * args.decay);
  factors.beta1 = args.beta1;
  factors.one_minus_beta1 = static_cast<float>(1 - b1);
  factors.beta2 = args.beta2;
  factors.one_minus_beta2 = static_cast<float>(1 - b2);
  factors.rate = static_cast<float>(args.lr / (1 - std::pow(b1, step)));
  factors.root_correction = static_cast<float>(1 / (1 - std::pow(b2, step)));
  return factors;
}

StatusOr<std::unique_ptr<PackedMatrix>> Ops::PackB(const GemmArgs&) {
  return std::unique_ptr<PackedMatrix>();
}

// The defaults have no state, so that one of each serves all.
LinalgOps& Ops::linalg() {
  static LinalgOps none;
  return none;
}
RandomOps& Ops::random() {
  static RandomOps none;
  return none;
}
SelectOps& Ops::select() {
  static SelectOps none;
  return none;
}
StatisticsOps& Ops::statistics() {
  static StatisticsOps none;
  return none;
}
TrainOps& Ops::train() {
  static TrainOps none;
  return none;
}

}  // namespace swage
