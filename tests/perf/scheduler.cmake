swage_binary(swage-bench-scheduler SRCS scheduler_bench.cc DEPS swage_sched_core)
