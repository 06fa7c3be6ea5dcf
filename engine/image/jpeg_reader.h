// libjpeg's reading interface without its jumps: what it reports as an error comes back as false.
// TurboJPEG's interface would link the compressor too, 0.4 MB of a static program.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>  // for jpeglib.h
#include <jpeglib.h>
#include <span>

namespace kiln::image_detail {

class JpegReader {
 public:
  JpegReader() = default;
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader();

  // Reads up to the first scan of `bytes`, which must stay until read_pixels() is done. False:
  // fault() says why.
  bool read_header(std::span<const std::byte> bytes);
  int width() const { return static_cast<int>(jpeg_.image_width); }
  int height() const { return static_cast<int>(jpeg_.image_height); }
  J_COLOR_SPACE colours() const { return jpeg_.jpeg_color_space; }

  // After read_header(): all pixels into `out` [height, width, channels]; 1 channel or 3. False
  // where pixels are missing or invented.
  bool read_pixels(int channels, std::uint8_t* out);

  const char* fault() const { return errors_.text; }

 private:
  struct Errors {
    jpeg_error_mgr manager;  // first: libjpeg hands its address back
    std::jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
    bool warned;
  };
  static Errors& errors_of(j_common_ptr jpeg) { return *reinterpret_cast<Errors*>(jpeg->err); }
  [[noreturn]] static void on_error(j_common_ptr jpeg);
  static void on_message(j_common_ptr jpeg, int level);
  static void on_progress(j_common_ptr jpeg);

  bool start();
  bool read_rows(std::uint8_t* out);

  jpeg_decompress_struct jpeg_{};
  jpeg_progress_mgr progress_{};
  Errors errors_{};
};

}  // namespace kiln::image_detail
