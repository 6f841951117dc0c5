// LayerNorm, activations, caps, and the moves of rows between experts.
#include <algorithm>
#include <cmath>

#include "kernels/api/check.h"
#include "kernels/cpu/ops_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"

namespace swage {
namespace {

// By the C library: exact GELU is rare, and a polynomial of its accuracy is not faster by much.
void GeluErfRun(int64_t n, const float* x, const float* up, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = 0.5f * x[i] * std::erfc(x[i] * -0.70710678f);
    y[i] = up == nullptr ? value : value * up[i];
  }
}

using Run = void (*)(int64_t, const float*, const float*, float*);

Run RunOf(Activation kind) {
  switch (kind) {
    case Activation::kSilu:
      return cpu::SiluRun;
    case Activation::kGeluTanh:
      return cpu::GeluTanhRun;
    case Activation::kGeluErf:
      return GeluErfRun;
    case Activation::kRelu:
      return cpu::ReluRun;
    case Activation::kSigmoid:
      break;
  }
  return cpu::SigmoidRun;
}

// The k largest by repeated search: k and the number of experts are small.
void RouteRow(const RouteArgs& args, const float* logits, int32_t* chosen, float* weights) {
  for (int64_t i = 0; i < args.k; ++i) {
    int32_t best = -1;
    for (int32_t e = 0; e < args.experts; ++e) {
      if (std::find(chosen, chosen + i, e) != chosen + i) continue;
      if (best < 0 || logits[e] > logits[best]) best = e;
    }
    chosen[i] = best;
  }
  const double max = logits[chosen[0]];
  double total = 0;
  if (args.normalize) {
    for (int64_t i = 0; i < args.k; ++i) total += std::exp(logits[chosen[i]] - max);
  } else {
    for (int64_t e = 0; e < args.experts; ++e) total += std::exp(logits[e] - max);
  }
  for (int64_t i = 0; i < args.k; ++i) {
    weights[i] = static_cast<float>(std::exp(logits[chosen[i]] - max) / total);
  }
}

}  // namespace

Status CpuOps::LayerNorm(int64_t rows, int64_t h, const float* x, const float* weight,
                         const float* bias, float eps, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("layer norm", rows, h));
  cpu::ParallelFor(threads_, rows, cpu::RowGrain(h), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      cpu::LayerNormRow(h, x + r * h, weight, bias, eps, y + r * h);
    }
  });
  return Status();
}

Status CpuOps::Activate(Activation kind, int64_t n, const float* x, const float* up, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("activation", n, 1));
  const Run run = RunOf(kind);
  cpu::ParallelFor(threads_, n, cpu::kElementGrain, [&](int64_t begin, int64_t end) {
    run(end - begin, x + begin, up == nullptr ? nullptr : up + begin, y + begin);
  });
  return Status();
}

Status CpuOps::SoftCap(int64_t n, float cap, float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("soft cap", n, 1));
  cpu::ParallelFor(threads_, n, cpu::kElementGrain, [&](int64_t begin, int64_t end) {
    cpu::SoftCapRun(end - begin, cap, x + begin);
  });
  return Status();
}

Status CpuOps::Scale(int64_t n, float factor, float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("scale", n, 1));
  cpu::ParallelFor(threads_, n, cpu::kElementGrain, [&](int64_t begin, int64_t end) {
    cpu::ScaleRun(end - begin, factor, x + begin);
  });
  return Status();
}

Status CpuOps::RouteTopK(const RouteArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckRoute(args));
  const int64_t grain = cpu::RowGrain(args.experts * args.k);
  cpu::ParallelFor(threads_, args.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      RouteRow(args, args.logits + r * args.experts, args.chosen + r * args.k,
               args.weights + r * args.k);
    }
  });
  return Status();
}

Status CpuOps::GatherRows(int64_t rows, int64_t width, const int32_t* index, int64_t source,
                          const float* x, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckRows("gather", rows, width, index, source));
  cpu::ParallelFor(threads_, rows, cpu::RowGrain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t from = index == nullptr ? r : index[r];
      std::copy_n(x + from * width, width, y + r * width);
    }
  });
  return Status();
}

Status CpuOps::ScatterAddRows(int64_t rows, int64_t width, const int32_t* index, int64_t target,
                              const float* factor, const float* x, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckRows("scatter", rows, width, index, target));
  cpu::ParallelFor(threads_, rows, cpu::RowGrain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t to = index == nullptr ? r : index[r];
      cpu::AddScaledRun(width, factor[r], x + r * width, y + to * width);
    }
  });
  return Status();
}

}  // namespace swage
