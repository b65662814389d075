# How every target of this project is compiled, in one place.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
include(GNUInstallDirs)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

find_program(RESIDENCY_CCACHE ccache)
if(RESIDENCY_CCACHE)
  # A precompiled header changes its time stamp on every new checkout; ccache must look past that,
  # and past where the checkout lies.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${RESIDENCY_CCACHE})
endif()

find_program(RESIDENCY_MOLD mold)
if(RESIDENCY_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Warnings are errors for our code; generated code and system headers are exempt. Not where Clang
# builds the fuzz targets: it warns of other things than GCC, which the other presets use.
add_library(residency_options INTERFACE)
target_compile_options(residency_options INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  $<$<NOT:$<BOOL:${RESIDENCY_FUZZ}>>:-Werror> -fno-omit-frame-pointer)
target_include_directories(residency_options INTERFACE "${PROJECT_SOURCE_DIR}")
if(RESIDENCY_SANITIZE)
  # -O1 halves the time of the instrumented tests; -g1 is enough for stacks. GCC warns falsely about
  # uninitialised values in instrumented code.
  add_compile_options(-fsanitize=${RESIDENCY_SANITIZE} -fno-sanitize-recover=all -O1 -g1
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_link_options(-fsanitize=${RESIDENCY_SANITIZE})
endif()

# residency_library(NAME SOURCES ... [DEPS ...]): a static library of one folder.
function(residency_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE residency_options)
  target_include_directories(${name} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>")
endfunction()

# residency_program(NAME SOURCES ... [DEPS ...]): an executable in build/<preset>/bin.
function(residency_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE residency_options ${ARG_DEPS})
endfunction()

# residency_fuzz_target(NAME SOURCES ... [DEPS ...]): LLVMFuzzerTestOneInput for inputs of one kind,
# with a corpus of the same name in tests/fuzz/corpus. With libFuzzer a program fuzz_NAME; without,
# a test fuzz_NAME_replay that feeds it the corpus once.
function(residency_fuzz_target name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
  if(RESIDENCY_FUZZ)
    set(program fuzz_${name})
    add_executable(${program} ${ARG_SOURCES})
    target_link_options(${program} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzz_targets ${program})
  else()
    set(program fuzz_${name}_replay)
    add_executable(${program} ${ARG_SOURCES} "${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.cc")
    add_test(NAME ${program} COMMAND ${program} "${corpus}")
    set_tests_properties(${program} PROPERTIES LABELS fuzz TIMEOUT 300)
  endif()
  target_link_libraries(${program} PRIVATE residency_options ${ARG_DEPS})
  set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
endfunction()

# residency_test(NAME LABEL unit|integration|fuzz|gpu SOURCES ... [DEPS ...] [TIMEOUT s])
# One GoogleTest program that CTest runs as a whole.
function(residency_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE residency_options ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()
