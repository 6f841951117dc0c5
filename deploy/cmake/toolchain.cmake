# Compiler cache, linker, warnings, sanitizers.
find_program(SWAGE_CCACHE ccache)
if(SWAGE_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${SWAGE_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SWAGE_CCACHE})
endif()
find_program(SWAGE_MOLD mold)
if(SWAGE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wall> $<$<COMPILE_LANGUAGE:CXX>:-Wextra>
                    $<$<COMPILE_LANGUAGE:CXX>:-Werror=switch> $<$<COMPILE_LANGUAGE:CXX>:-Werror=return-type>
                    $<$<COMPILE_LANGUAGE:CXX>:-Wno-unused-parameter>
                    $<$<COMPILE_LANGUAGE:CXX>:-Wno-missing-field-initializers>)
if(NOT SWAGE_SANITIZE STREQUAL "")
  # The instrumented build of a header like nlohmann/json's takes a minute at -O3.
  add_compile_options(-O1)
endif()
if(SWAGE_SANITIZE STREQUAL "address")
  # A null or a wrong object's vtable ends the process under AddressSanitizer anyhow; their checks are a third of the compile time.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=null,vptr -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=address,undefined)
elseif(SWAGE_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=thread)
elseif(NOT SWAGE_SANITIZE STREQUAL "")
  message(FATAL_ERROR "SWAGE_SANITIZE is '${SWAGE_SANITIZE}': address, thread or empty")
endif()
if(SWAGE_FUZZ)  # coverage in every library, so that the fuzzer sees the parsers' branches
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
