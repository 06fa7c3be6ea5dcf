# FindCUDNN and FindCUBLASLT in the layouts of Debian packages, the toolkit and Python wheels, laid
# out below WORK with empty files; and where nothing is there, which must be said clearly.
#   cmake -DWORK=folder -DSOURCE=repository -P find_nvidia_test.cmake
file(REMOVE_RECURSE ${WORK})
set(version_header "#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 19\n#define CUDNN_PATCHLEVEL 1\n")

# A project without languages: what a compiler would tell CMake is set by hand. Nothing of this
# machine may be found, so PATH is not searched and the system is a folder below WORK.
file(WRITE ${WORK}/project/CMakeLists.txt "
cmake_minimum_required(VERSION 3.25)
project(layout LANGUAGES NONE)
set(CMAKE_FIND_LIBRARY_PREFIXES lib)
set(CMAKE_FIND_LIBRARY_SUFFIXES .so .a)
set(CMAKE_LIBRARY_ARCHITECTURE x86_64-linux-gnu)
set(CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH OFF)
set(CMAKE_SYSTEM_PREFIX_PATH \${SYSTEM_ROOT})
set(CMAKE_SYSTEM_INCLUDE_PATH \"\")
set(CMAKE_SYSTEM_LIBRARY_PATH \"\")
list(APPEND CMAKE_MODULE_PATH ${SOURCE}/cmake)
find_package(CUDNN 9)
find_package(CUBLASLT)
foreach(target CUDNN::cudnn CUBLASLT::cublasLt)
  if(TARGET \${target})
    get_target_property(library \${target} IMPORTED_LOCATION)
    get_target_property(headers \${target} INTERFACE_INCLUDE_DIRECTORIES)
    message(STATUS \"\${target}=\${library};\${headers}\")
  endif()
endforeach()
message(STATUS \"version=\${CUDNN_VERSION}\")
")

# configure(NAME ARGUMENTS...): leaves what CMake printed in `output`.
function(configure name)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env --unset=NVIDIA_WHEELS_ROOT --unset=CUDNN_ROOT
      --unset=CUBLASLT_ROOT --unset=CMAKE_PREFIX_PATH ${CMAKE_COMMAND} -S ${WORK}/project
      -B ${WORK}/build-${name} -DNVIDIA_WHEELS_ROOT=${WORK}/none -DSYSTEM_ROOT=${WORK}/none ${ARGN}
    OUTPUT_VARIABLE text ERROR_VARIABLE text RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${name}: CMake failed:\n${text}")
  endif()
  set(output "${text}" PARENT_SCOPE)
endfunction()

function(expect name text)
  string(FIND "${output}" "${text}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${name}: expected `${text}` in:\n${output}")
  endif()
endfunction()

set(apt ${WORK}/apt/usr)
file(WRITE ${apt}/include/x86_64-linux-gnu/cudnn.h "")
file(WRITE ${apt}/include/x86_64-linux-gnu/cudnn_version.h "${version_header}")
file(WRITE ${apt}/lib/x86_64-linux-gnu/libcudnn.so "")
file(WRITE ${apt}/include/cublasLt.h "")
file(WRITE ${apt}/lib/x86_64-linux-gnu/libcublasLt.so.13 "")
configure(apt -DSYSTEM_ROOT=${apt})
set(multi x86_64-linux-gnu)
expect(apt "CUDNN::cudnn=${apt}/lib/${multi}/libcudnn.so;${apt}/include/${multi}\n")
expect(apt "CUBLASLT::cublasLt=${apt}/lib/${multi}/libcublasLt.so.13;${apt}/include\n")
expect(apt "version=9.19.1\n")

set(toolkit ${WORK}/cuda-13.0)
foreach(file include/cudnn.h include/cublasLt.h lib64/libcudnn.so.9 lib64/libcublasLt.so)
  file(WRITE ${toolkit}/${file} "")
endforeach()
file(WRITE ${toolkit}/include/cudnn_version_v9.h "${version_header}")
configure(toolkit -DCUDAToolkit_LIBRARY_DIR=${toolkit}/lib64)
expect(toolkit "CUDNN::cudnn=${toolkit}/lib64/libcudnn.so.9;${toolkit}/include\n")
expect(toolkit "CUBLASLT::cublasLt=${toolkit}/lib64/libcublasLt.so;${toolkit}/include\n")
expect(toolkit "version=9.19.1\n")

set(wheels ${WORK}/site-packages/nvidia)
foreach(file cudnn/include/cudnn.h cudnn/lib/libcudnn.so.9 cu13/include/cublasLt.h
    cu13/lib/libcublasLt.so.13)
  file(WRITE ${wheels}/${file} "")
endforeach()
file(WRITE ${wheels}/cudnn/include/cudnn_version.h "${version_header}")
configure(wheels -DNVIDIA_WHEELS_ROOT=${wheels})
expect(wheels "CUDNN::cudnn=${wheels}/cudnn/lib/libcudnn.so.9;${wheels}/cudnn/include\n")
expect(wheels "CUBLASLT::cublasLt=${wheels}/cu13/lib/libcublasLt.so.13;${wheels}/cu13/include\n")
expect(wheels "version=9.19.1\n")

configure(nothing)
expect(nothing "cuDNN is neither in CUDNN_ROOT nor in the toolkit")
expect(nothing "cuBLASLt is neither in CUBLASLT_ROOT nor in the toolkit")
if(output MATCHES "::cudnn=|::cublasLt=")
  message(FATAL_ERROR "nothing: found what is not there:\n${output}")
endif()
message("four layouts: as they should be")
