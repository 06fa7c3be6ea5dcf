#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <sys/mman.h>

#include "engine/core/error.h"
#include "kernels/cuda/runtime.h"

namespace kiln::cuda {
namespace {

// The device's allocations. Closed, no page of them can be read or written.
class DeviceMemory {
 public:
  static DeviceMemory& instance() {
    static DeviceMemory memory;
    return memory;
  }

  void* allocate(std::size_t size_bytes) {
    const std::lock_guard lock(mutex_);
    const std::size_t rounded = (size_bytes + kPage - 1) / kPage * kPage;
    void* address = ::mmap(nullptr, rounded, open_count_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED)
      throw Error(ErrorKind::io, "emu:0",
                  "cannot get " + std::to_string(size_bytes) + " bytes: " + errno_text(errno),
                  "use a smaller batch or network");
    blocks_[address] = rounded;
    return address;
  }
  void release(void* address) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(address);
    if (found == blocks_.end()) return;
    ::munmap(address, found->second);
    blocks_.erase(found);
  }
  void open() {
    const std::lock_guard lock(mutex_);
    if (open_count_++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  void close() noexcept {
    const std::lock_guard lock(mutex_);
    if (--open_count_ == 0) protect(PROT_NONE);
  }

 private:
  static constexpr std::size_t kPage = 4096;

  void protect(int access) const noexcept {
    for (const auto& [address, size_bytes] : blocks_) ::mprotect(address, size_bytes, access);
  }

  std::mutex mutex_;
  std::map<void*, std::size_t> blocks_;
  int open_count_ = 0;
};

}  // namespace

DeviceMemoryOpen::DeviceMemoryOpen() { DeviceMemory::instance().open(); }
DeviceMemoryOpen::~DeviceMemoryOpen() { DeviceMemory::instance().close(); }

int device_count() { return 1; }
const char* describe(int) { return "CUDA kernels on the host, one thread at a time"; }
void* allocate(int, std::size_t size_bytes) {
  return DeviceMemory::instance().allocate(size_bytes);
}
void release(int, void* memory) noexcept { DeviceMemory::instance().release(memory); }
std::uintptr_t stream(int) { return 1; }
void copy_to_device(int, void* to, const void* from, std::size_t size_bytes) {
  const DeviceMemoryOpen open;
  std::memcpy(to, from, size_bytes);
}
void copy_to_host(int, void* to, const void* from, std::size_t size_bytes) {
  const DeviceMemoryOpen open;
  std::memcpy(to, from, size_bytes);
}
void fill(int, void* to, int byte, std::size_t size_bytes) {
  const DeviceMemoryOpen open;
  std::memset(to, byte, size_bytes);
}
void synchronise(int) {}
void check_launch(const char*) {}

}  // namespace kiln::cuda
