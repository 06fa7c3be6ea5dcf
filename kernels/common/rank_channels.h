// RankChannels: two numbers of every channel and the count of rows, of every rank, by one exchange.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/include/channel_exchange.h"

namespace kiln {

class RankChannels {
 public:
  // own(channel, first, second) sets what this rank has.
  template <class Own>
  RankChannels(ChannelExchange& ranks, std::int64_t channels, std::int64_t rows, const Own& own)
      : channels_(static_cast<std::size_t>(channels)) {
    const std::span<double> mine = ranks.mine(2 * channels_ + 1);
    for (std::size_t c = 0; c < channels_; ++c)
      own(static_cast<std::int64_t>(c), mine[c], mine[channels_ + c]);
    mine.back() = static_cast<double>(rows);
    all_ = ranks.exchange();
  }
  // take(first, second, rows) for rank 0, 1, ...
  template <class Take>
  void each(std::int64_t channel, const Take& take) const {
    const auto c = static_cast<std::size_t>(channel);
    for (std::size_t at = 0; at < all_.size(); at += 2 * channels_ + 1)
      take(all_[at + c], all_[at + channels_ + c], all_[at + 2 * channels_]);
  }

 private:
  std::size_t channels_;
  std::span<const double> all_;
};

}  // namespace kiln
