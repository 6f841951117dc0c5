if(SWAGE_SERVICES)
  swage_binary(swage-bench-platform SRCS platform_bench.cc DEPS swage_test_platform swage_make_model)
endif()
