swage_benchmark(storage_bench SRCS storage_bench.cc DEPS swage_store_core)
