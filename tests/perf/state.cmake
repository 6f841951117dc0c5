if(SWAGE_TESTS)
  swage_binary(swage-bench-state SRCS state_bench.cc DEPS swage_state swage_test_redis PkgConfig::SQLITE)
endif()
