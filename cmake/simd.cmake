# kiln_simd_sources(target file...): compiles each file once per instruction set, with KILN_ISA set to
# the level's name, so that one executable carries all of them and chooses at run time.
#
# Such a file keeps everything in namespace kiln::cpu::KILN_ISA and instantiates no standard template:
# an inline function compiled with AVX-512 must never be the copy that the linker picks for everyone.
include(CheckCXXCompilerFlag)

set(kiln_isa_flags_baseline "")
set(kiln_isa_flags_avx2 "-mavx2;-mfma;-mbmi;-mbmi2;-mf16c;-mprfchw")
set(kiln_isa_flags_avx512
  "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx512cd;-mavx2;-mfma;-mbmi;-mbmi2;-mf16c;-mprfchw;-mprefer-vector-width=512")

# Beside these levels files of their own for the dot products of bf16 pairs, where the compiler knows
# them: kiln_bf16_dot_sources, in namespace kiln::cpu::avx512_bf16.
set(kiln_isa_flags_avx512_bf16 "${kiln_isa_flags_avx512};-mavx512bf16")

# A section per function: a program that links with -Wl,--gc-sections leaves out the gradients that
# share a file with what it runs.
set(kiln_section_flags "")
if(KILN_SANITIZE STREQUAL "")
  set(kiln_section_flags -ffunction-sections -fdata-sections)
endif()

set(KILN_ISA_LEVELS baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND KILN_ISA_LEVELS avx2 avx512)
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  check_cxx_compiler_flag(-mavx512bf16 KILN_COMPILES_AVX512_BF16)
endif()

# A static program is to be small, and carries the baseline for processors of before 2013.
set(kiln_isa_optimisation_baseline $<IF:$<BOOL:${KILN_STATIC}>,-Os,-O3>)
set(kiln_isa_optimisation_avx2 -O3)
set(kiln_isa_optimisation_avx512 -O3)
set(kiln_isa_optimisation_avx512_bf16 -O3)
# Every unrolled line is checked for each sanitizer, which took Clang minutes for one source: half the
# compile time without -O3.
if(NOT KILN_SANITIZE STREQUAL "")
  foreach(level IN ITEMS baseline avx2 avx512 avx512_bf16)
    set(kiln_isa_optimisation_${level} -O1)
  endforeach()
endif()
# What AddressSanitizer sees as well, at the access itself, is not checked a second time there. Linked
# after kiln_sanitizers, whose flags it takes back.
add_library(kiln_unrolled INTERFACE)
if(KILN_SANITIZE STREQUAL "address")
  target_compile_options(kiln_unrolled INTERFACE
    -fno-sanitize=null,object-size,pointer-overflow)
endif()

function(kiln_simd_sources target)
  kiln_sources_of_levels(${target} "${KILN_ISA_LEVELS}" ${ARGN})
endfunction()

# kiln_bf16_dot_sources(target file...): for the one level above AVX-512.
function(kiln_bf16_dot_sources target)
  if(KILN_COMPILES_AVX512_BF16)
    kiln_sources_of_levels(${target} avx512_bf16 ${ARGN})
    target_compile_definitions(${target}_avx512_bf16 PRIVATE KILN_ISA_avx512=1)
  endif()
endfunction()

function(kiln_sources_of_levels target levels)
  foreach(level IN LISTS levels)
    set(object ${target}_${level})
    if(TARGET ${object})  # a later call adds to the same objects
      target_sources(${object} PRIVATE ${ARGN})
      continue()
    endif()
    add_library(${object} OBJECT ${ARGN})
    target_include_directories(${object} PRIVATE ${PROJECT_SOURCE_DIR})
    target_compile_definitions(${object} PRIVATE KILN_ISA=${level} KILN_ISA_${level}=1
      $<$<BOOL:${KILN_STATIC}>:KILN_SMALL>)
    # No bytes between functions and before jumps; loops are aligned all the same.
    target_compile_options(${object} PRIVATE
      "$<$<BOOL:${KILN_STATIC}>:-fno-align-functions;-fno-align-jumps>")
    target_compile_options(${object} PRIVATE ${kiln_isa_flags_${level}}
      ${kiln_isa_optimisation_${level}} ${kiln_section_flags})
    target_link_libraries(${object} PRIVATE kiln_warnings kiln_sanitizers kiln_unrolled)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${object}>)
    string(TOUPPER ${level} upper)
    target_compile_definitions(${target} PRIVATE KILN_HAVE_${upper}=1)
  endforeach()
endfunction()
