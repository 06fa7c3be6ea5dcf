// What every request needs and no idle connection: the last one's memory, warm in the caches.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "engine/http/http_parser.h"

namespace kiln::http {

class ParserPool {
 public:
  ParserPool(const HttpLimits& limits, std::size_t most) : limits_(limits), most_(most) {}

  void lend(std::optional<HttpParser>& to) {
    if (to) return;
    if (spare_.empty()) {
      to.emplace(limits_);
    } else {
      to.emplace(std::move(spare_.back()));
      spare_.pop_back();
    }
  }
  // One in the middle of a request stays where it is.
  void take_back(std::optional<HttpParser>& from) {
    if (!from || from->state() != HttpParser::State::empty) return;
    if (spare_.size() < most_) spare_.push_back(std::move(*from));
    from.reset();
  }

 private:
  const HttpLimits limits_;
  const std::size_t most_;
  std::vector<HttpParser> spare_;
};

}  // namespace kiln::http
