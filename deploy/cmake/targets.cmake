# swage_library(NAME SRCS a.cc b.cc DEPS x y)            static library
# swage_binary(NAME SRCS main.cc DEPS x)                 into build/bin
# swage_test(NAME SRCS t.cc DEPS x [LABELS sim])         GoogleTest, registered with ctest; cwd = repository root
# swage_benchmark(NAME SRCS b.cc DEPS x)                 Google Benchmark, not run by ctest
# swage_fuzzer(NAME SRCS f.cc DEPS x CORPUS dir)         libFuzzer with SWAGE_FUZZ, else a ctest that replays the corpus
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# With CMAKE_UNITY_BUILD (the quickstart and tests/run.sh: half the compile time) the files of a library are compiled together. Not
# those of the kernels that Highway includes once per instruction set, nor the core, of which the simulator replaces single files
# by planted bugs.
set(SWAGE_NO_UNITY "")
if(SWAGE_TESTS)
  list(APPEND SWAGE_NO_UNITY swage_sched_core)
endif()

function(swage_library NAME)
  cmake_parse_arguments(A "" "" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${NAME} STATIC ${A_SRCS})
  target_link_libraries(${NAME} PUBLIC ${A_DEPS} PRIVATE ${A_PRIVATE_DEPS})
  if(NAME IN_LIST SWAGE_NO_UNITY)
    set_target_properties(${NAME} PROPERTIES UNITY_BUILD OFF)
  endif()
endfunction()

function(swage_binary NAME)
  cmake_parse_arguments(A "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${NAME} ${A_SRCS})
  target_link_libraries(${NAME} PRIVATE ${A_DEPS})
  if(NOT NAME STREQUAL "swage")
    set_target_properties(${NAME} PROPERTIES UNITY_BUILD OFF)
  endif()
endfunction()

function(swage_test NAME)
  if(NOT SWAGE_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  add_executable(${NAME} ${A_SRCS})
  target_link_libraries(${NAME} PRIVATE ${A_DEPS} GTest::gmock GTest::gtest GTest::gtest_main)
  if(NAME IN_LIST SWAGE_NO_UNITY)
    set_target_properties(${NAME} PROPERTIES UNITY_BUILD OFF)
  endif()
  target_compile_options(${NAME} PRIVATE -O1)  # the tests' own code; half of the build's time
  if(SWAGE_SANITIZE STREQUAL "address")
    target_compile_options(${NAME} PRIVATE -fno-sanitize=undefined)  # what is tested keeps it; half of the compile time
  endif()
  add_test(NAME ${NAME} COMMAND ${NAME} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${NAME} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}")
endfunction()

function(swage_benchmark NAME)
  if(NOT SWAGE_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${NAME} ${A_SRCS})
  target_link_libraries(${NAME} PRIVATE ${A_DEPS} benchmark::benchmark)
endfunction()

function(swage_fuzzer NAME)
  if(NOT SWAGE_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "CORPUS" "SRCS;DEPS" ${ARGN})
  if(SWAGE_FUZZ)
    add_executable(${NAME} ${A_SRCS})
    target_link_libraries(${NAME} PRIVATE ${A_DEPS})
    target_compile_options(${NAME} PRIVATE -fsanitize=fuzzer)
    target_link_options(${NAME} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${NAME} ${A_SRCS} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    target_link_libraries(${NAME} PRIVATE ${A_DEPS})
    add_test(NAME ${NAME} COMMAND ${NAME} ${CMAKE_SOURCE_DIR}/${A_CORPUS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  endif()
endfunction()
