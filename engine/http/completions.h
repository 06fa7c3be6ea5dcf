// Replies on their way from other threads to the loop.
#pragma once

#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/core/file.h"
#include "engine/http/http_server.h"

namespace kiln::http {

class Completions {
 public:
  using Entry = std::pair<std::uint64_t, HttpReply>;  // connection, reply

  Completions();

  // An eventfd, readable when there is something to take or wake() was called.
  int fd() const { return event_.get(); }
  void add(std::uint64_t connection, HttpReply reply);
  void wake();
  // add() wakes nobody until take(): for a loop that takes right after what adds.
  void hold();
  // Exchanges what is there for `taken`, which is empty and keeps its memory.
  void take(std::vector<Entry>& taken);
  std::vector<Entry> take() {
    std::vector<Entry> taken;
    take(taken);
    return taken;
  }
  // Until the next wake(), fd() is not readable. Before take(): what is added after it wakes again.
  void clear();

 private:
  UniqueFd event_;
  std::mutex mutex_;
  std::vector<Entry> entries_;
  bool held_ = false;
};

}  // namespace kiln::http
