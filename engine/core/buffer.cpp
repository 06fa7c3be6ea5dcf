#include "engine/core/buffer.h"

#include <cerrno>
#include <string>
#include <sys/mman.h>
#include <utility>

#include "engine/core/backend.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t rounded(std::size_t size_bytes) {
  const std::size_t unit = size_bytes >= kHugePage ? kHugePage : 4096;
  return (size_bytes + unit - 1) / unit * unit;
}

}  // namespace

// Anonymous maps come zeroed and go back to the system at once; large ones ask for huge pages, so
// that a sweep over the arena does not miss the TLB on every 4 KiB.
Buffer::Buffer(Device device, std::size_t size_bytes) : device_(device) {
  if (!device.is_host() && device.backend == nullptr)
    throw Error(ErrorKind::unsupported, to_string(device), "has no memory in this build",
                "use --device cpu");
  if (size_bytes == 0) return;
  size_bytes_ = rounded(size_bytes);
  if (!device.is_host()) {
    data_ = static_cast<std::byte*>(device.backend->allocate(device.index, size_bytes_));
    return;
  }
  void* address =
      ::mmap(nullptr, size_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED)
    throw Error(ErrorKind::io, "memory",
                "cannot get " + std::to_string(size_bytes) + " bytes: " + errno_text(errno),
                "use a smaller batch or network");
  data_ = static_cast<std::byte*>(address);
  if (size_bytes_ >= kHugePage) ::madvise(address, size_bytes_, MADV_HUGEPAGE);
}

Buffer::Buffer(Buffer&& other) noexcept
    : device_(other.device_),
      data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    release();
    device_ = other.device_;
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
  }
  return *this;
}

Buffer::~Buffer() { release(); }

void Buffer::release() noexcept {
  if (data_ != nullptr && !device_.is_host()) device_.backend->release(device_.index, data_);
  if (data_ != nullptr && device_.is_host()) ::munmap(data_, size_bytes_);
  data_ = nullptr;
}

}  // namespace kiln
