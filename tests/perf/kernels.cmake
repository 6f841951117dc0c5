swage_benchmark(swage-bench-kernels SRCS kernels_bench.cc DEPS swage_kernels swage_base OpenMP::OpenMP_CXX)
swage_benchmark(swage-bench-math SRCS math_bench.cc DEPS swage_kernels swage_base OpenMP::OpenMP_CXX)
