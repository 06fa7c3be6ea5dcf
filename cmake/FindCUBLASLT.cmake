# CUBLASLT::cublasLt: cuBLASLt 13 of the toolkit's folder, a Python wheel or Debian packages. Wheels
# carry the versioned name alone, and a toolkit made of wheels may have nvcc without cuBLAS.
include(${CMAKE_CURRENT_LIST_DIR}/NvidiaWheels.cmake)
kiln_find_nvidia(CUBLASLT cublasLt.h cublasLt libcublasLt.so.13)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUBLASLT REQUIRED_VARS CUBLASLT_LIBRARY CUBLASLT_INCLUDE_DIR
  REASON_FAILURE_MESSAGE
    "cuBLASLt is neither in CUBLASLT_ROOT nor in the toolkit, a wheel or the system")
kiln_nvidia_target(CUBLASLT::cublasLt CUBLASLT)
