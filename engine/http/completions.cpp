#include "engine/http/completions.h"

#include <cerrno>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/core/error.h"

namespace kiln::http {

Completions::Completions() : event_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!event_) throw Error(ErrorKind::io, "eventfd", errno_text(errno));
}

// One write for all that gathers until the loop takes it.
void Completions::add(std::uint64_t connection, HttpReply reply) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = entries_.empty() && !held_;
    entries_.emplace_back(connection, std::move(reply));
  }
  if (first) wake();
}

void Completions::wake() {
  // Fails only where the counter is full: then the loop is awake already.
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
}

void Completions::hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
}

void Completions::take(std::vector<Entry>& taken) {
  const std::lock_guard lock(mutex_);
  // Whoever added the first has written, or will: that wakes the loop for nothing, no more.
  held_ = false;
  taken.swap(entries_);
}

void Completions::clear() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(event_.get(), &count, sizeof count);
}

DeferredReply::~DeferredReply() {
  if (!completed_) complete(error_reply(500, "the request was dropped without a reply"));
}

void DeferredReply::complete(HttpReply reply) {
  if (!completed_.exchange(true)) completions_->add(connection_, std::move(reply));
}

}  // namespace kiln::http
