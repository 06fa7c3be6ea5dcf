// ChannelExchange: how batch normalisation gets at what other ranks have summed up, so that its
// means run over the pictures of all of them. Ops fill mine() and get everybody's; that they are
// ranks of a communicator is not known here.
#pragma once

#include <cstddef>
#include <span>

namespace kiln {

class ChannelExchange {
 public:
  virtual ~ChannelExchange() = default;
  // Room for `count` numbers of this rank, to be filled before exchange().
  virtual std::span<double> mine(std::size_t count) = 0;
  // Collective: what every rank has filled in, rank after rank; equal on all. Valid until mine().
  virtual std::span<const double> exchange() = 0;
};

}  // namespace kiln
