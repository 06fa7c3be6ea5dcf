#include "engine/data/formats/gzip.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>
#include <zlib.h>

#include "engine/data/formats/common.h"

namespace kiln::formats {
namespace {

class FileSource : public ByteSource {
 public:
  explicit FileSource(const Path& path)
      : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat info {};
    if (!fd_ || ::fstat(fd_.get(), &info) != 0)
      throw Error(ErrorKind::io, path.string(), "cannot open: " + errno_text(errno));
    if (!S_ISREG(info.st_mode)) refuse(path, "is not a regular file");
  }

  std::size_t read(std::span<std::uint8_t> out) override {
    while (true) {
      const ssize_t got = ::read(fd_.get(), out.data(), out.size());
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR)
        throw Error(ErrorKind::io, path_.string(), "cannot read: " + errno_text(errno));
    }
  }

 private:
  Path path_;
  UniqueFd fd_;
};

class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::size_t read(std::span<std::uint8_t> out) override {
    const std::size_t count = std::min(out.size(), bytes_.size());
    std::copy_n(bytes_.begin(), count, out.begin());
    bytes_ = bytes_.subspan(count);
    return count;
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

class GzipSource : public ByteSource {
 public:
  GzipSource(const Path& path, std::unique_ptr<ByteSource> inner, std::uint64_t limit_bytes)
      : path_(path), inner_(std::move(inner)), limit_bytes_(limit_bytes), input_(1 << 17) {
    // 15 bits of window, and 16 for a gzip header.
    if (::inflateInit2(&stream_, 15 + 16) != Z_OK)
      throw Error(ErrorKind::io, path.string(), "cannot be decompressed: zlib does not start");
  }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;
  ~GzipSource() override { ::inflateEnd(&stream_); }

  std::size_t read(std::span<std::uint8_t> out) override {
    if (out.empty()) return 0;
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(std::min<std::size_t>(out.size(), 1 << 30));
    const uInt asked = stream_.avail_out;
    while (stream_.avail_out == asked && !ended_) step();
    const std::size_t got = asked - stream_.avail_out;
    total_bytes_ += got;
    if (total_bytes_ > limit_bytes_)
      refuse(path_,
             "decompresses to more than the limit of " + std::to_string(limit_bytes_) + " bytes");
    return got;
  }

 private:
  // One call of inflate, with input; sets ended_ after the last member.
  void step() {
    refill();
    if (stream_.avail_in == 0) {
      if (in_member_) refuse(path_, "is cut short", "get it again");
      ended_ = true;
      return;
    }
    in_member_ = true;
    const int result = ::inflate(&stream_, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      in_member_ = false;
      ::inflateReset(&stream_);
      refill();
      // Some writers pad with zeros; they are no further member.
      if (stream_.avail_in > 0 && *stream_.next_in == 0) ended_ = true;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      refuse(path_,
             std::string("is damaged: ") + (stream_.msg != nullptr ? stream_.msg : "bad gzip data"),
             "get it again");
    }
  }

  void refill() {
    if (stream_.avail_in > 0) return;
    stream_.next_in = input_.data();
    stream_.avail_in = static_cast<uInt>(inner_->read(input_));
  }

  Path path_;
  std::unique_ptr<ByteSource> inner_;
  std::uint64_t limit_bytes_;
  std::uint64_t total_bytes_ = 0;
  std::vector<std::uint8_t> input_;
  z_stream stream_{};
  bool in_member_ = false;
  bool ended_ = false;
};

bool is_gzip(std::span<const std::uint8_t> start) {
  return start.size() >= 2 && start[0] == 0x1F && start[1] == 0x8B;
}

}  // namespace

std::unique_ptr<ByteSource> open_source(const Path& path, std::uint64_t limit_bytes) {
  std::uint8_t start[2];
  const std::size_t got = FileSource(path).read(start);
  auto file = std::make_unique<FileSource>(path);
  if (!is_gzip(std::span(start).first(got))) return file;
  return std::make_unique<GzipSource>(path, std::move(file), limit_bytes);
}

std::unique_ptr<ByteSource> open_raw_source(const Path& path) {
  return std::make_unique<FileSource>(path);
}

std::unique_ptr<ByteSource> memory_source(const Path& path, std::span<const std::uint8_t> bytes,
                                          std::uint64_t limit_bytes) {
  auto memory = std::make_unique<MemorySource>(bytes);
  if (!is_gzip(bytes)) return memory;
  return std::make_unique<GzipSource>(path, std::move(memory), limit_bytes);
}

void read_exactly(ByteSource& source, const Path& path, std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const std::size_t got = source.read(out);
    if (got == 0) refuse(path, "is cut short", "get it again");
    out = out.subspan(got);
  }
}

std::vector<std::uint8_t> read_rest(ByteSource& source, const Path& path,
                                    std::uint64_t limit_bytes) {
  // Grows with what is really there, never with what a header claims.
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint8_t> chunk(1 << 16);
  while (const std::size_t got = source.read(chunk)) {
    if (bytes.size() + got > limit_bytes)
      refuse(path, "has more than the limit of " + std::to_string(limit_bytes) + " bytes");
    bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(got));
  }
  return bytes;
}

}  // namespace kiln::formats
