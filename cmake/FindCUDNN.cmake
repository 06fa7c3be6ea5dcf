# CUDNN::cudnn, CUDNN_VERSION: cuDNN 9 of the toolkit's folder, a Python wheel or Debian packages.
# libcudnn.so.9 opens its sister libraries by itself, so it is the only one to link. Wheels carry
# the versioned name alone.
include(${CMAKE_CURRENT_LIST_DIR}/NvidiaWheels.cmake)
kiln_find_nvidia(CUDNN cudnn.h cudnn libcudnn.so.9)
unset(CUDNN_VERSION)
foreach(header cudnn_version.h cudnn_version_v9.h)
  if(CUDNN_INCLUDE_DIR AND EXISTS ${CUDNN_INCLUDE_DIR}/${header} AND NOT CUDNN_VERSION)
    file(STRINGS ${CUDNN_INCLUDE_DIR}/${header} lines
      REGEX "^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) +[0-9]+")
    string(REGEX REPLACE "[^0-9;]" "" lines "${lines}")
    list(JOIN lines "." CUDNN_VERSION)
  endif()
endforeach()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR
  VERSION_VAR CUDNN_VERSION
  REASON_FAILURE_MESSAGE "cuDNN is neither in CUDNN_ROOT nor in the toolkit, a wheel or the system")
kiln_nvidia_target(CUDNN::cudnn CUDNN)
