# The few switches of a build. Presets (CMakePresets.json) name the useful combinations.
option(KILN_TESTS "Build the tests (needs GoogleTest)" ${PROJECT_IS_TOP_LEVEL})
option(KILN_BENCH "Build the benchmarks (needs Google Benchmark)" OFF)
option(KILN_FUZZ "Build the fuzz targets with libFuzzer (needs Clang)" OFF)
option(KILN_ONEDNN "Build the oneDNN convolution plug-in" ON)
option(KILN_CUDA "Build the CUDA plug-in (needs nvcc)" OFF)
option(KILN_EMU "Build the CUDA kernels for the host, device `emu`" ON)
option(KILN_STATIC "Link programs statically; no plug-ins, so neither devices nor hooks from files" OFF)
option(KILN_PRECOMPILE_GTEST "Precompile the headers of GoogleTest (Clang without ccache)" ON)
option(KILN_WERROR "Treat warnings as errors" OFF)
set(KILN_SANITIZE "" CACHE STRING "Sanitizers to build with: empty, address, thread or coverage")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Every executable and plug-in lands in one folder, so that `kiln` finds `kiln-<verb>` beside itself
# in the build tree exactly as it does when installed.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

if(KILN_STATIC)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  # Relative relocations take a bit each instead of 24 bytes. The linker warns of dlopen().
  # Constants lie behind the code, in its pages: two pages less, which are executable in return.
  add_link_options(-static-pie -Wl,-z,pack-relative-relocs -Wl,-z,noseparate-code
    -Wl,--fatal-warnings)
  add_compile_options(-ffunction-sections -fdata-sections)
endif()

find_program(KILN_CCACHE ccache)
mark_as_advanced(KILN_CCACHE)
if(KILN_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${KILN_CCACHE})
endif()
find_package(Threads REQUIRED)
