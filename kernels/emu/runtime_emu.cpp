#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <utility>
#include <vector>

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

// The work of one graph, in the order in which it was queued.
using Graph = std::vector<std::function<void()>>;

// What the calling thread captures, if anything. A call that a capture of CUDA's refuses ends it:
// the call itself throws where it may, and end_capture() names it either way.
struct Capture {
  std::unique_ptr<Graph> graph;
  std::string spoilt_by;
};
Capture& capture() {
  static thread_local Capture own;
  return own;
}

void spoil_capture(const char* call, const char* why) {
  if (!capture().graph || !capture().spoilt_by.empty()) return;
  capture().spoilt_by = std::string(call) + " while a graph is captured: " + why;
}
void refuse_in_capture(const char* call, const char* why) {
  if (!capture().graph) return;
  spoil_capture(call, why);
  throw std::logic_error("emu: " + capture().spoilt_by);
}

constexpr const char* kWaits = "the host would wait for work that has not been queued";
constexpr const char* kMemory = "memory is planned before, not in a step";
constexpr const char* kEvents = "an event inside a graph tells the host nothing";

// Copies to the host that nobody has waited for yet. A GPU may deliver the bytes at any time from
// the copy to the event behind it; here they come at the last moment, and until then their place is
// spoilt. They are those that lay in the device's memory when the copy was reached.
class Copies {
 public:
  static Copies& instance() {
    static Copies copies;
    return copies;
  }
  void queue(void* to, const void* from, std::size_t size_bytes) {
    const auto* bytes = static_cast<const std::byte*>(from);
    const std::lock_guard lock(mutex_);
    std::memset(to, 0xFF, size_bytes);  // NaN in every floating type
    waiting_.push_back({to, {bytes, bytes + size_bytes}, ++queued_});
  }
  std::uint64_t queued() {
    const std::lock_guard lock(mutex_);
    return queued_;
  }
  void deliver(std::uint64_t up_to) {
    const std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [&](const Copy& copy) {
      if (copy.number > up_to) return false;
      std::memcpy(copy.to, copy.bytes.data(), copy.bytes.size());
      return true;
    });
  }
  void deliver_all() { deliver(queued()); }

 private:
  struct Copy {
    void* to = nullptr;
    std::vector<std::byte> bytes;
    std::uint64_t number = 0;
  };
  std::mutex mutex_;
  std::vector<Copy> waiting_;
  std::uint64_t queued_ = 0;
};

struct Event {
  std::uint64_t copies = 0;  // queued when it was recorded
  bool asked = false;
};

}  // namespace

void run_or_capture(std::function<void()> work) {
  if (capture().graph) return capture().graph->push_back(std::move(work));
  const DeviceMemoryOpen open;
  work();
}

DeviceMemoryOpen::DeviceMemoryOpen() { DeviceMemory::instance().open(); }
DeviceMemoryOpen::~DeviceMemoryOpen() { DeviceMemory::instance().close(); }

int device_count() { return 1; }
const char* describe(int) { return "CUDA kernels on the host, one thread at a time"; }
void* allocate(int, std::size_t size_bytes) {
  refuse_in_capture("allocate", kMemory);
  return DeviceMemory::instance().allocate(size_bytes);
}
void release(int, void* memory) noexcept {
  spoil_capture("release", kMemory);
  DeviceMemory::instance().release(memory);
}
std::uintptr_t stream(int) { return 1; }

void copy_to_device(int, void* to, const void* from, std::size_t size_bytes) {
  refuse_in_capture("copy_to_device", kWaits);
  Copies::instance().deliver_all();
  const DeviceMemoryOpen open;
  std::memcpy(to, from, size_bytes);
}
void copy_to_host(int, void* to, const void* from, std::size_t size_bytes) {
  refuse_in_capture("copy_to_host", kWaits);
  Copies::instance().deliver_all();
  const DeviceMemoryOpen open;
  std::memcpy(to, from, size_bytes);
}
void fill(int, void* to, int byte, std::size_t size_bytes) {
  refuse_in_capture("fill", kWaits);
  Copies::instance().deliver_all();
  const DeviceMemoryOpen open;
  std::memset(to, byte, size_bytes);
}
void synchronise(int) {
  refuse_in_capture("synchronise", kWaits);
  Copies::instance().deliver_all();
}

void begin_capture(int) {
  refuse_in_capture("begin_capture", "one at a time");
  capture().graph = std::make_unique<Graph>();
  capture().spoilt_by.clear();
}
void* end_capture(int) {
  if (!capture().graph) throw std::logic_error("emu: end_capture without begin_capture");
  std::unique_ptr<Graph> graph = std::exchange(capture().graph, nullptr);
  if (!capture().spoilt_by.empty()) throw std::logic_error("emu: " + capture().spoilt_by);
  return graph.release();
}
void abandon_capture(int) noexcept { capture().graph.reset(); }
void launch_graph(int, void* graph) {
  refuse_in_capture("launch_graph", "graphs are not nested here");
  const DeviceMemoryOpen open;
  for (const auto& work : *static_cast<const Graph*>(graph)) work();
}
void release_graph(int, void* graph) noexcept { delete static_cast<Graph*>(graph); }

void* allocate_pinned(int, std::size_t size_bytes) {
  refuse_in_capture("allocate_pinned", kMemory);
  void* memory = std::calloc(1, size_bytes);
  if (memory == nullptr)
    throw Error(ErrorKind::io, "emu:0", "cannot get " + std::to_string(size_bytes) + " bytes");
  return memory;
}
void release_pinned(int, void* memory) noexcept {
  spoil_capture("release_pinned", kMemory);
  Copies::instance().deliver_all();
  std::free(memory);
}
void queue_copy_to_host(int, void* to, const void* from, std::size_t size_bytes) {
  run_or_capture([=] { Copies::instance().queue(to, from, size_bytes); });
}

void* make_event(int) { return new Event; }
void release_event(int, void* event) noexcept { delete static_cast<Event*>(event); }
void record_event(int, void* event) {
  refuse_in_capture("record_event", kEvents);
  *static_cast<Event*>(event) = {.copies = Copies::instance().queued()};
}
// Never done when it is first asked for, as on a device that is still at work.
bool event_done(int, void* event) {
  refuse_in_capture("event_done", kEvents);
  auto& own = *static_cast<Event*>(event);
  if (!std::exchange(own.asked, true)) return false;
  Copies::instance().deliver(own.copies);
  return true;
}
void wait_event(int, void* event) {
  refuse_in_capture("wait_event", kEvents);
  Copies::instance().deliver(static_cast<const Event*>(event)->copies);
}
void check_launch(const char*) {}

}  // namespace kiln::cuda
