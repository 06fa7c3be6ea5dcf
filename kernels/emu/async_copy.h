// One thread's asynchronous copies into shared memory (cp.async). A GPU may deliver the bytes at
// any time between the copy and the wait for its group; here they come at the last moment, and the
// destination is spoilt until then. So a read without the wait, a read before the barrier that
// follows the wait, and a copy over what another thread still reads all give NaN.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

namespace kiln::emu {

class AsyncCopies {
 public:
  static constexpr std::size_t kBytes = 16;

  // Copies 16 bytes, or writes 16 zeros where `from` is null.
  void issue(void* to, const void* from) {
    std::memset(to, 0xFF, kBytes);  // NaN in every floating type
    waiting_.push_back({to, from, committed_});
  }
  void commit() { ++committed_; }
  // Delivers all groups but the last `pending` committed ones.
  void wait(int pending) {
    std::size_t kept = 0;
    for (const Copy& copy : waiting_)
      if (copy.group + pending < committed_)
        deliver(copy);
      else
        waiting_[kept++] = copy;
    waiting_.resize(kept);
  }
  void clear() {
    waiting_.clear();
    committed_ = 0;
  }

 private:
  struct Copy {
    void* to = nullptr;
    const void* from = nullptr;
    int group = 0;
  };
  static void deliver(const Copy& copy) {
    if (copy.from == nullptr)
      std::memset(copy.to, 0, kBytes);
    else
      std::memcpy(copy.to, copy.from, kBytes);
  }

  std::vector<Copy> waiting_;
  int committed_ = 0;
};

}  // namespace kiln::emu
