#include "kernels/emu/shim.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define KILN_EMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KILN_EMU_ASAN 1
#endif
#endif
#ifdef KILN_EMU_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the callee-saved registers on this stack, leaves its pointer in *from and goes on from the
// stack `to`. A system call less than swapcontext, which a barrier of a thousand threads would
// feel.
extern "C" void kiln_emu_switch(void** from, void* to);
asm(R"(
.text
.p2align 4
.type kiln_emu_switch, @function
kiln_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size kiln_emu_switch, .-kiln_emu_switch
)");

namespace kiln::emu {
namespace {

constexpr unsigned kWarp = 32;
constexpr std::size_t kStackBytes = std::size_t{128} << 10;

// Memory for one fiber's stack, with a page that must not be touched below it.
class Stack {
 public:
  Stack() {
    void* memory = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("emu: no memory for the stack of a thread");
    memory_ = static_cast<std::byte*>(memory);
    ::mprotect(memory_, kGuardBytes, PROT_NONE);
  }
  ~Stack() { ::munmap(memory_, kStackBytes); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  std::byte* data() const { return memory_ + kGuardBytes; }
  // The stack as kiln_emu_switch leaves one, so that switching to it calls `entry`: at the top a
  // return address that is never used (a call leaves the pointer 8 beside a multiple of 16), then
  // the entry, then six registers.
  void* prepared(void (*entry)()) const {
    auto* top = reinterpret_cast<void**>(memory_ + kStackBytes);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    return top;
  }
  static std::size_t size() { return kStackBytes - kGuardBytes; }

 private:
  static constexpr std::size_t kGuardBytes = 4096;
  std::byte* memory_;
};

// Tells AddressSanitizer which stack runs; nothing without it.
struct StackSwitch {
  void* fake = nullptr;
  void leave(const void* bottom, std::size_t size) {
#ifdef KILN_EMU_ASAN
    __sanitizer_start_switch_fiber(&fake, bottom, size);
#else
    static_cast<void>(bottom);
    static_cast<void>(size);
#endif
  }
  void arrive(const void** bottom, std::size_t* size) {
#ifdef KILN_EMU_ASAN
    __sanitizer_finish_switch_fiber(fake, bottom, size);
#else
    static_cast<void>(bottom);
    static_cast<void>(size);
#endif
  }
};

enum class State { ready, at_warp_barrier, at_block_barrier, done };

struct Fiber {
  void* pointer = nullptr;  // of its stack, while it sleeps
  std::unique_ptr<Stack> stack;
  StackSwitch stack_switch;
  State state = State::done;
  dim3 thread_index;
  unsigned boards_used = 0;
  AsyncCopies copies;
};

// The boards of one warp.
struct alignas(16) Boards {
  std::byte bytes[2][kWarp * kBoardBytes];
};

// Runs the blocks of one launch, one after the other, each thread a fiber. One host thread at a
// time: kernels' shared variables are static.
class Machine {
 public:
  static Machine& instance() {
    static Machine machine;
    return machine;
  }

  void run(const Launch& launch) {
    const std::lock_guard lock(mutex_);
    launch_ = &launch;
    position_.block_extent = launch.block;
    position_.grid_extent = launch.grid;
    thread_count_ = launch.block.x * launch.block.y * launch.block.z;
    dim3& b = position_.block_index;
    for (b.z = 0; b.z < launch.grid.z; ++b.z)
      for (b.y = 0; b.y < launch.grid.y; ++b.y)
        for (b.x = 0; b.x < launch.grid.x; ++b.x)
          launch.cooperative ? run_block() : run_block_without_barriers();
  }

  Position& position() { return position_; }
  unsigned current() const { return current_; }
  std::uint64_t* warp_words() { return words_[current_ / kWarp]; }
  std::byte* next_board() {
    if (!launch_->cooperative) refuse("needs a whole warp, but was launched without");
    return boards_[current_ / kWarp].bytes[fibers_[current_].boards_used++ % 2];
  }
  AsyncCopies& async_copies() {
    if (!launch_->cooperative) refuse("copies asynchronously, but was launched without barriers");
    return fibers_[current_].copies;
  }

  // An exception cannot leave a fiber's stack, so the host's throws it.
  [[noreturn]] void fault(const char* wrong) {
    if (!launch_->cooperative) refuse(wrong);
    fault_ = wrong;
    wait(State::done);
    std::abort();  // no one goes on with this fiber
  }

  void wait(State state) {
    if (!launch_->cooperative) refuse("meets a barrier, but was launched without");
    Fiber& self = fibers_[current_];
    self.state = state;
    self.stack_switch.leave(main_bottom_, main_size_);
    kiln_emu_switch(&self.pointer, main_);
    self.stack_switch.arrive(&main_bottom_, &main_size_);
    position_.thread_index = self.thread_index;
  }

 private:
  dim3 thread_index(unsigned i) const {
    const dim3& b = launch_->block;
    return {i % b.x, i / b.x % b.y, i / (b.x * b.y)};
  }

  void run_block_without_barriers() {
    for (unsigned i = 0; i < thread_count_; ++i) {
      current_ = i;
      position_.thread_index = thread_index(i);
      launch_->run(launch_->arguments);
    }
  }

  static void enter() {
    Machine& m = instance();
    Fiber& self = m.fibers_[m.current_];
    self.stack_switch.arrive(&m.main_bottom_, &m.main_size_);
    m.launch_->run(m.launch_->arguments);
    self.state = State::done;
#ifdef KILN_EMU_ASAN
    __sanitizer_start_switch_fiber(nullptr, m.main_bottom_, m.main_size_);  // it does not come back
#endif
    kiln_emu_switch(&self.pointer, m.main_);
  }

  void start(unsigned i) {
    Fiber& fiber = fibers_[i];
    if (!fiber.stack) fiber.stack = std::make_unique<Stack>();
    fiber.state = State::ready;
    fiber.stack_switch = {};
    fiber.thread_index = thread_index(i);
    fiber.boards_used = 0;
    fiber.copies.clear();
    fiber.pointer = fiber.stack->prepared(&Machine::enter);
  }

  void resume(unsigned i) {
    current_ = i;
    position_.thread_index = fibers_[i].thread_index;
    StackSwitch own;
    own.leave(fibers_[i].stack->data(), Stack::size());
    kiln_emu_switch(&main_, fibers_[i].pointer);
    own.arrive(nullptr, nullptr);
    if (fault_ != nullptr) refuse(std::exchange(fault_, nullptr));
  }

  // Runs the threads of one warp until each is done or at the block's barrier.
  void run_warp(unsigned begin, unsigned end) {
    for (;;) {
      unsigned alive = 0, at_warp_barrier = 0;
      for (unsigned i = begin; i < end; ++i) {
        if (fibers_[i].state == State::ready) resume(i);
        if (fibers_[i].state != State::done) ++alive;
        if (fibers_[i].state == State::at_warp_barrier) ++at_warp_barrier;
      }
      if (at_warp_barrier == 0) return;
      if (at_warp_barrier != alive || alive != end - begin)
        refuse("has a warp whose threads disagree on a warp barrier");
      for (unsigned i = begin; i < end; ++i) fibers_[i].state = State::ready;
    }
  }

  void run_block() {
    if (fibers_.size() < thread_count_) {
      fibers_.resize(thread_count_);
      const unsigned warps = (thread_count_ + kWarp - 1) / kWarp;
      words_ = std::make_unique<std::uint64_t[][kWarp]>(warps);
      boards_ = std::make_unique<Boards[]>(warps);
    }
    for (unsigned i = 0; i < thread_count_; ++i) start(i);
    for (;;) {
      for (unsigned begin = 0; begin < thread_count_; begin += kWarp)
        run_warp(begin, std::min(begin + kWarp, thread_count_));
      unsigned waiting = 0;
      for (unsigned i = 0; i < thread_count_; ++i)
        if (fibers_[i].state == State::at_block_barrier) ++waiting;
      if (waiting == 0) return;
      if (waiting != thread_count_) refuse("has a block whose threads disagree on a barrier");
      for (unsigned i = 0; i < thread_count_; ++i) fibers_[i].state = State::ready;
    }
  }

  [[noreturn]] void refuse(const char* wrong) const {
    throw std::logic_error("emu: kernel " + std::string(launch_->name) + " " + wrong);
  }

  std::mutex mutex_;
  const Launch* launch_ = nullptr;
  Position position_;
  unsigned thread_count_ = 0, current_ = 0;
  std::vector<Fiber> fibers_;
  std::unique_ptr<std::uint64_t[][kWarp]> words_;
  std::unique_ptr<Boards[]> boards_;
  const char* fault_ = nullptr;  // of the fiber that has just stopped
  void* main_ = nullptr;         // the host's stack, while a fiber runs
  const void* main_bottom_ = nullptr;
  std::size_t main_size_ = 0;
};

}  // namespace

Position& position() { return Machine::instance().position(); }
void run_launch(const Launch& launch) { Machine::instance().run(launch); }
void block_barrier() { Machine::instance().wait(State::at_block_barrier); }
void warp_barrier() { Machine::instance().wait(State::at_warp_barrier); }
std::uint64_t* warp_words() { return Machine::instance().warp_words(); }
void fault(const char* wrong) { Machine::instance().fault(wrong); }
std::byte* next_board() { return Machine::instance().next_board(); }
AsyncCopies& async_copies() { return Machine::instance().async_copies(); }
unsigned lane() { return Machine::instance().current() % kWarp; }

}  // namespace kiln::emu
