# kiln_library(NAME SOURCES ... LINKS ...): a static library `kiln_NAME` with the alias `kiln::NAME`.
# Includes are written from the repository root: "engine/core/shape.h".
# Private links that are headers only stay out of the installed package.
set(KILN_HEADER_ONLY nlohmann_json::nlohmann_json CLI11::CLI11 tomlplusplus::tomlplusplus)
function(kiln_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  set_property(GLOBAL APPEND PROPERTY KILN_LIBRARIES kiln_${name})
  foreach(link IN LISTS KILN_HEADER_ONLY)
    list(TRANSFORM arg_PRIVATE_LINKS REPLACE "^${link}$" "$<BUILD_INTERFACE:${link}>")
  endforeach()
  add_library(kiln_${name} STATIC ${arg_SOURCES})
  add_library(kiln::${name} ALIAS kiln_${name})
  set_target_properties(kiln_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(kiln_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/kiln>)
  target_compile_features(kiln_${name} PUBLIC cxx_std_20)
  target_link_libraries(kiln_${name} PUBLIC ${arg_LINKS}
    PRIVATE ${arg_PRIVATE_LINKS} $<BUILD_INTERFACE:kiln_warnings> $<BUILD_INTERFACE:kiln_sanitizers>)
endfunction()

# kiln_executable(NAME SOURCES ... LINKS ...): the executable `NAME`, installed into bin/.
function(kiln_executable name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINKS} kiln_warnings kiln_sanitizers)
  install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()

# kiln_labelled(TARGET LABELS...): the target tests_LABEL builds all that the tests of that label run.
function(kiln_labelled target)
  foreach(label IN LISTS ARGN)
    if(NOT TARGET tests_${label})
      add_custom_target(tests_${label})
    endif()
    add_dependencies(tests_${label} ${target})
  endforeach()
endfunction()

# kiln_precompile_gtest(TARGET): the test reads GoogleTest and what it includes from one precompiled
# header for each set of options. ccache would not cache such a test, so where it is in use nothing is
# precompiled; nor does GCC where it optimises: it then warns about the insides of std::string.
function(kiln_precompile_gtest target)
  if(KILN_CCACHE OR NOT KILN_PRECOMPILE_GTEST OR
     (CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT KILN_TEST_OPTIMISATION STREQUAL "-O0"))
    return()
  endif()
  set(header kiln_gtest_header${KILN_TEST_OPTIMISATION})
  if(NOT TARGET ${header})
    # Programs are compiled with -fPIE, and so the header.
    add_library(${header} OBJECT ${PROJECT_SOURCE_DIR}/tests/support/precompiled.cpp)
    set_target_properties(${header} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${header} PRIVATE -fPIE ${KILN_TEST_OPTIMISATION})
    target_link_libraries(${header} PRIVATE GTest::gtest GTest::gmock
      kiln_warnings kiln_sanitizers)
    target_precompile_headers(${header} PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
  endif()
  target_precompile_headers(${target} REUSE_FROM ${header})
endfunction()

# kiln_test_program(NAME SOURCES ... LINKS ...): a GoogleTest executable. It is compiled with
# KILN_TEST_OPTIMISATION, which the folder may set: most of what a test does happens in libraries that
# are optimised all the same, and without optimisation it is compiled in half the time.
function(kiln_test_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${KILN_TEST_OPTIMISATION}>)
  target_link_libraries(${name} PRIVATE ${arg_LINKS} GTest::gtest_main GTest::gmock
    kiln_warnings kiln_sanitizers)
  kiln_precompile_gtest(${name})
endfunction()

# kiln_test(NAME SOURCES ... LINKS ... [LABELS ...]): a GoogleTest executable, one CTest test.
# Exit code 77 is CTest's "skipped"; a GTEST_SKIP inside is counted by tools/test_summary.py.
function(kiln_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINKS;LABELS" ${ARGN})
  kiln_test_program(${name} SOURCES ${arg_SOURCES} LINKS ${arg_LINKS})
  kiln_labelled(${name} ${arg_LABELS})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_test(NAME ${name}
    COMMAND ${name} --gtest_output=xml:${CMAKE_BINARY_DIR}/test-results/${name}.xml)
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77
    LABELS "${arg_LABELS}" ENVIRONMENT "KILN_BIN_DIR=${CMAKE_BINARY_DIR}/bin;KILN_SOURCE_DIR=${PROJECT_SOURCE_DIR}")
endfunction()

# kiln_on_devices(NAME): the same test program once more for every other device of this build, as
# NAME_emu and NAME_cuda. Where the device is missing the test counts as skipped.
function(kiln_on_devices name)
  foreach(device emu cuda)
    if(NOT TARGET kiln_${device})
      continue()
    endif()
    add_dependencies(${name} kiln_${device})
    kiln_labelled(${name} ${device})
    add_test(NAME ${name}_${device}
      COMMAND ${name} --gtest_output=xml:${CMAKE_BINARY_DIR}/test-results/${name}_${device}.xml)
    set(environment "KILN_TEST_DEVICE=${device}" "KILN_SOURCE_DIR=${PROJECT_SOURCE_DIR}")
    if(device STREQUAL "emu" AND KILN_SANITIZE STREQUAL "address")
      # A second stack for each of thousands of fibers made these tests forty times as long.
      # intercept_tls_get_addr: docs/decisions.md, "A leak checker that misreads a plug-in".
      string(CONCAT asan_options "detect_leaks=1:strict_string_checks=1:"
        "detect_stack_use_after_return=0:intercept_tls_get_addr=0")
      list(APPEND environment "ASAN_OPTIONS=${asan_options}")
    endif()
    set_tests_properties(${name}_${device} PROPERTIES TIMEOUT 600 LABELS "${device}"
      SKIP_RETURN_CODE 77 ENVIRONMENT "${environment}")
  endforeach()
endfunction()

# kiln_device_tests(NAME SOURCES ... LINKS ...): a test that is only about devices beside the CPU.
function(kiln_device_tests name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  kiln_test_program(${name}
    SOURCES ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/support/device_only.cpp LINKS ${arg_LINKS})
  kiln_on_devices(${name})
endfunction()

# kiln_fast(TARGET): a library on the way of every request stays fast in a program that is compiled
# for size.
function(kiln_fast target)
  if(KILN_STATIC)
    target_compile_options(${target} PRIVATE -O2)
  endif()
endfunction()
