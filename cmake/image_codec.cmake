# Which decoder stands behind engine/image/image_codec.h. stb_image before 2.30 writes out of bounds
# on crafted files, so the header's own version line decides; Debian 12 has 2.27.
#   KILN_IMAGE_DECODER  auto: stb_image where it is new enough, else turbo; or stb or turbo
set(KILN_IMAGE_DECODER auto CACHE STRING "Picture decoder: auto, stb or turbo")
find_path(KILN_STB_INCLUDE_DIR stb_image_write.h PATH_SUFFIXES stb REQUIRED)

set(kiln_stb_image_version 0)
if(EXISTS ${KILN_STB_INCLUDE_DIR}/stb_image.h)
  file(STRINGS ${KILN_STB_INCLUDE_DIR}/stb_image.h first_line LIMIT_COUNT 1 REGEX "stb_image - v")
  if(first_line MATCHES "stb_image - v([0-9]+\\.[0-9]+)")
    set(kiln_stb_image_version ${CMAKE_MATCH_1})
  endif()
endif()

set(kiln_image_decoder ${KILN_IMAGE_DECODER})
if(kiln_image_decoder STREQUAL "auto")
  set(kiln_image_decoder turbo)
  if(kiln_stb_image_version VERSION_GREATER_EQUAL 2.30)
    set(kiln_image_decoder stb)
  endif()
endif()
if(kiln_image_decoder STREQUAL "stb" AND kiln_stb_image_version VERSION_LESS 2.30)
  message(FATAL_ERROR "KILN_IMAGE_DECODER=stb: ${KILN_STB_INCLUDE_DIR}/stb_image.h has version "
    "${kiln_stb_image_version}; 2.30 or newer is needed, older ones write out of bounds")
endif()

# kiln_use_image_decoder(TARGET): adds the decoder's source and libraries.
function(kiln_use_image_decoder target)
  target_include_directories(${target} SYSTEM PRIVATE ${KILN_STB_INCLUDE_DIR})
  if(kiln_image_decoder STREQUAL "stb")
    message(STATUS "Picture decoder: stb_image ${kiln_stb_image_version}")
    target_sources(${target} PRIVATE image_codec_stb.cpp)
    set_source_files_properties(image_codec_stb.cpp PROPERTIES
      COMPILE_DEFINITIONS KILN_STB_IMAGE_VERSION="${kiln_stb_image_version}")
    return()
  endif()
  find_package(PNG REQUIRED)
  find_package(JPEG REQUIRED)
  message(STATUS "Picture decoder: libjpeg-turbo and libpng ${PNG_VERSION_STRING} "
    "(stb_image ${kiln_stb_image_version})")
  target_sources(${target} PRIVATE image_codec_turbo.cpp jpeg_reader.cpp)
  target_link_libraries(${target} PRIVATE JPEG::JPEG PNG::PNG)
endfunction()
