// RankExchange: what batch normalisation exchanges, over a communicator.
#pragma once

#include <vector>

#include "engine/comm/communicator.h"
#include "kernels/include/channel_exchange.h"

namespace kiln {

class RankExchange final : public ChannelExchange {
 public:
  // Allocates what `most_channels` need. `communicator` must outlive it.
  RankExchange(Communicator& communicator, std::int64_t most_channels)
      : communicator_(communicator) {
    mine_.reserve(static_cast<std::size_t>(2 * most_channels + 1));
    all_.reserve(mine_.capacity() * static_cast<std::size_t>(communicator.size()));
  }
  std::span<double> mine(std::size_t count) override {
    mine_.resize(count);
    return mine_;
  }
  std::span<const double> exchange() override {
    all_.resize(mine_.size() * static_cast<std::size_t>(communicator_.size()));
    communicator_.all_gather<double>(mine_, all_);
    return all_;
  }

 private:
  Communicator& communicator_;
  std::vector<double> mine_, all_;
};

}  // namespace kiln
