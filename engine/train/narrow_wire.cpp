#include "engine/train/narrow_wire.h"

#include <algorithm>

#include "engine/core/check.h"

namespace kiln {
namespace {

std::size_t part_count(std::size_t count, int ranks) {
  const auto parts = static_cast<std::size_t>(ranks);
  return (count + parts - 1) / parts;
}

template <class T>
std::span<T> bytes_of(std::span<BFloat16> values) {
  return {reinterpret_cast<T*>(values.data()), values.size_bytes()};
}

}  // namespace

NarrowWire::NarrowWire(Communicator& communicator, std::int64_t most_count)
    : communicator_(communicator),
      mine_(part_count(static_cast<std::size_t>(most_count), communicator.size()) *
            static_cast<std::size_t>(communicator.size())),
      theirs_(mine_.size()) {}

// Parts are of equal length; the last is filled up with zeros.
void NarrowWire::all_reduce(std::span<float> values) {
  const auto ranks = static_cast<std::size_t>(communicator_.size());
  const std::size_t part = part_count(values.size(), communicator_.size());
  KILN_CHECK(part * ranks <= mine_.size());
  const std::span mine(mine_.data(), part * ranks), theirs(theirs_.data(), part * ranks);
  for (std::size_t i = 0; i < mine.size(); ++i)
    mine[i] = i < values.size() ? to_bfloat16(values[i]) : BFloat16{};
  communicator_.all_to_all<std::uint8_t>(bytes_of<const std::uint8_t>(mine),
                                         bytes_of<std::uint8_t>(theirs));
  for (std::size_t i = 0; i < part; ++i) {
    float sum = to_float(theirs[i]);
    for (std::size_t r = 1; r < ranks; ++r) sum += to_float(theirs[r * part + i]);
    mine[i] = to_bfloat16(sum);
  }
  communicator_.all_gather<std::uint8_t>(bytes_of<const std::uint8_t>(mine.first(part)),
                                         bytes_of<std::uint8_t>(theirs));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = to_float(theirs[i]);
}

}  // namespace kiln
