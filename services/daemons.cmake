# The daemons. Their mains stay with what they wire; swage-store's line is in storage/CMakeLists.txt.
swage_binary(swage-control SRCS ${CMAKE_SOURCE_DIR}/services/control/control_main.cc
  DEPS swage_control swage_state swage_kit swage_telemetry CLI11::CLI11)
swage_binary(swage-scheduler SRCS ${CMAKE_SOURCE_DIR}/scheduler/server/scheduler_main.cc
  DEPS swage_sched_server swage_state swage_kit swage_telemetry CLI11::CLI11)
if(NOT TARGET swage-store)
  swage_binary(swage-store SRCS ${CMAKE_SOURCE_DIR}/storage/server/store_main.cc
    DEPS swage_store_server swage_kit swage_telemetry CLI11::CLI11)
endif()
swage_binary(swage-worker SRCS ${CMAKE_SOURCE_DIR}/workers/daemon/worker_main.cc
  DEPS swage_daemon swage_job swage_kit swage_telemetry CLI11::CLI11)
