// Functions that the static server has instead of those of its libraries. A program's own come
// before an archive's, so the linker leaves out what only those would need: the writers of JPEG and
// PNG pictures, which tables and clean-up code name though a reader never calls them, the demangler
// of the message for an exception that nobody caught, and the reader of formatted text. 0.3 MB
// together.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>

namespace {

[[noreturn]] void refuse(const char* what) {
  std::fprintf(stderr, "kiln serve: %s\n", what);
  std::abort();
}

}  // namespace

// The names are the libraries'. NOLINTBEGIN
extern "C" {

// libjpeg-turbo: the Huffman encoder, 0.1 MB, and the address that is looked at to see whether it
// may be used. Only a compressor calls it.
alignas(64) extern const std::uint8_t jconst_huff_encode_one_block[64];
const std::uint8_t jconst_huff_encode_one_block[64] = {};
void* jsimd_huff_encode_one_block_sse2() { refuse("a JPEG picture was to be written"); }

// libpng: png_image_free() calls the first for a picture that is being written, and
// png_set_compression_buffer_size() the second. The third is as in libpng: big-endian.
void png_destroy_write_struct(void**, void**) { refuse("a PNG picture was to be written"); }
void png_free_buffer_list(void*, void**) { refuse("a PNG picture was to be written"); }
void png_save_uint_32(std::uint8_t* bytes, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) bytes[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
}

// libjpeg-turbo reads the variable JPEGMEM by it, which then counts as not there; pictures are held
// to limits of kiln's own before they are decoded.
int __isoc99_sscanf(const char*, const char*, ...) { return 0; }

}  // extern "C"

namespace __gnu_cxx {

void __verbose_terminate_handler() {
  try {
    if (std::current_exception()) throw;
  } catch (const std::exception& error) {
    refuse(error.what());
  } catch (...) {
  }
  refuse("ended by an exception of an unknown kind");
}

}  // namespace __gnu_cxx
// NOLINTEND
