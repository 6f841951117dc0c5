swage_benchmark(swage-bench-gradients SRCS gradients_bench.cc DEPS swage_runtime swage_kernels swage_base)
swage_benchmark(swage-bench-engine SRCS engine_bench.cc DEPS swage_runtime swage_kernels swage_base)
