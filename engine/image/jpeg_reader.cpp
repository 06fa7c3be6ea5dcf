// A jump leaves the library's own frames and lands in one of the three functions here that call
// setjmp(); they hold nothing that has a destructor, and no local that changes in between.
#include "engine/image/jpeg_reader.h"

#include <jerror.h>

namespace kiln::image_detail {
namespace {

constexpr int kMaxScans = 500;  // as TurboJPEG's TJFLAG_LIMITSCANS

}  // namespace

JpegReader::~JpegReader() { ::jpeg_destroy_decompress(&jpeg_); }  // nothing where never started

void JpegReader::on_error(j_common_ptr jpeg) {
  Errors& errors = errors_of(jpeg);
  (*errors.manager.format_message)(jpeg, errors.text);
  std::longjmp(errors.jump, 1);
}

// Bytes that belong to no marker are harmless and common in files from cameras and the web. Every
// other warning means that pixels are missing or invented.
void JpegReader::on_message(j_common_ptr jpeg, int level) {
  Errors& errors = errors_of(jpeg);
  if (level >= 0 || errors.warned || errors.manager.msg_code == JWRN_EXTRANEOUS_DATA) return;
  (*errors.manager.format_message)(jpeg, errors.text);
  errors.warned = true;
}

// A progressive picture of a few bytes can ask for thousands of passes over all pixels.
void JpegReader::on_progress(j_common_ptr jpeg) {
  const auto scan = reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number;
  if (scan <= kMaxScans) return;
  Errors& errors = errors_of(jpeg);
  std::snprintf(errors.text, sizeof errors.text, "Progressive JPEG image has more than %d scans",
                kMaxScans);
  std::longjmp(errors.jump, 1);
}

bool JpegReader::start() {
  jpeg_.err = ::jpeg_std_error(&errors_.manager);
  errors_.manager.error_exit = on_error;
  errors_.manager.emit_message = on_message;
  if (setjmp(errors_.jump) != 0) return false;
  ::jpeg_create_decompress(&jpeg_);
  progress_.progress_monitor = on_progress;
  jpeg_.progress = &progress_;
  return true;
}

bool JpegReader::read_header(std::span<const std::byte> bytes) {
  errors_.warned = false;
  if (jpeg_.mem == nullptr && !start()) return false;
  if (setjmp(errors_.jump) != 0) return false;
  ::jpeg_abort_decompress(&jpeg_);  // what an earlier picture left
  ::jpeg_mem_src(&jpeg_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  ::jpeg_read_header(&jpeg_, TRUE);
  return true;
}

bool JpegReader::read_rows(std::uint8_t* out) {
  if (setjmp(errors_.jump) != 0) return false;
  ::jpeg_start_decompress(&jpeg_);
  const std::size_t row =
      std::size_t{jpeg_.output_width} * static_cast<std::size_t>(jpeg_.output_components);
  while (jpeg_.output_scanline < jpeg_.output_height) {
    JSAMPROW at = out + jpeg_.output_scanline * row;
    ::jpeg_read_scanlines(&jpeg_, &at, 1);
  }
  ::jpeg_finish_decompress(&jpeg_);
  return true;
}

bool JpegReader::read_pixels(int channels, std::uint8_t* out) {
  jpeg_.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  return read_rows(out) && !errors_.warned;
}

}  // namespace kiln::image_detail
