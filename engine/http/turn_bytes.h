// What the sockets gave in one turn of the loop. Each read goes behind the bytes that are kept
// until the turn's end and over those that are not.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <sys/socket.h>

namespace kiln::http {

class TurnBytes {
 public:
  static constexpr std::size_t kReadBytes = 1 << 16;

  // As recv() does it.
  ssize_t receive(int socket) { return ::recv(socket, room(), kReadBytes, 0); }
  // Of what receive() gave last.
  std::string_view first(std::size_t count) const { return {room(), count}; }
  // Could they be kept, with room for the next read behind them?
  bool can_keep(std::size_t count) const { return kept_ + in_lines(count) + kReadBytes <= kBytes; }
  void keep(std::size_t count) { kept_ += in_lines(count); }
  void next_turn() { kept_ = 0; }

 private:
  // Half of a usual second-level cache; pages that are never used cost no memory.
  static constexpr std::size_t kBytes = 1 << 19;
  // In whole cache lines: the kernel copies to their beginning faster.
  static constexpr std::size_t in_lines(std::size_t count) { return (count + 63) / 64 * 64; }
  char* room() const { return bytes_.get() + kept_; }

  const std::unique_ptr<char[]> bytes_ = std::make_unique_for_overwrite<char[]>(kBytes);
  std::size_t kept_ = 0;
};

}  // namespace kiln::http
