swage_benchmark(swage-bench-gradients SRCS gradients_bench.cc DEPS swage_runtime swage_kernels swage_base)
