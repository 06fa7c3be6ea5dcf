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
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    was_empty = entries_.empty();
    entries_.emplace_back(connection, std::move(reply));
  }
  if (was_empty) wake();
}

void Completions::wake() {
  // Fails only where the counter is full: then the loop is awake already.
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
}

std::vector<Completions::Entry> Completions::take() {
  // Before the lock: what is added after it writes again.
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(event_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  return std::exchange(entries_, {});
}

DeferredReply::~DeferredReply() {
  if (!completed_) complete(error_reply(500, "the request was dropped without a reply"));
}

void DeferredReply::complete(HttpReply reply) {
  if (!completed_.exchange(true)) completions_->add(connection_, std::move(reply));
}

}  // namespace kiln::http
