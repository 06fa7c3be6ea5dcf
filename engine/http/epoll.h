// The system's epoll: which of many sockets are ready.
#pragma once

#include <cerrno>
#include <cstdint>
#include <span>
#include <sys/epoll.h>

#include "engine/core/error.h"
#include "engine/core/file.h"

namespace kiln::http {

class Epoll {
 public:
  // Throws Error (io).
  Epoll() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!fd_) throw Error(ErrorKind::io, "epoll_create1", errno_text(errno));
  }

  // epoll_ctl, whose result it returns: `id` is what events of `fd` will carry.
  int control(int operation, int fd, std::uint64_t id, std::uint32_t interest) const {
    epoll_event event{.events = interest, .data = {.u64 = id}};
    return ::epoll_ctl(fd_.get(), operation, fd, &event);
  }

  // Those of `events` that were filled, after at most `milliseconds` (-1: however long); none where
  // a signal came. Throws Error (io).
  std::span<const epoll_event> wait(std::span<epoll_event> events, int milliseconds) const {
    const int count =
        ::epoll_wait(fd_.get(), events.data(), static_cast<int>(events.size()), milliseconds);
    if (count < 0 && errno != EINTR) throw Error(ErrorKind::io, "epoll_wait", errno_text(errno));
    return events.first(count < 0 ? 0 : static_cast<std::size_t>(count));
  }

 private:
  UniqueFd fd_;
};

}  // namespace kiln::http
