swage_binary(swage-bench-scheduler SRCS scheduler_bench.cc DEPS swage_sched_core)
if(SWAGE_SERVICES AND SWAGE_TESTS)
  swage_binary(swage-bench-jobs SRCS jobs_bench.cc sim_workers.cc
               DEPS swage_kit swage_proto swage_test_platform swage_test_redis)
  add_dependencies(swage-bench-jobs swage-store swage-control swage-scheduler)
endif()
