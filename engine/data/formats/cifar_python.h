// CIFAR-10's Python version: each batch is a pickled dictionary with "data", a NumPy array of bytes
// [n, 3072] (planes as in the binary version), and "labels", a list of n integers; batches.meta has
// "label_names". Pickles are read by engine/pickle, which executes nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/pickle/pickle.h"

namespace kiln::formats {

// An official batch has 31 MB.
inline constexpr std::uint64_t kMaxPickleBytes = std::uint64_t{1} << 28;

// One parsed batch; points into the bytes that it was parsed from.
class CifarPickle {
 public:
  // Throws Error (input) naming `path` unless data and labels agree.
  CifarPickle(const Path& path, std::span<const std::uint8_t> bytes);

  std::int64_t size() const { return size_; }
  // Labels into [0, class_count) and pictures as [n, 32, 32, 3].
  void decode(std::int64_t class_count, std::span<std::int32_t> labels, std::uint8_t* images) const;

 private:
  Path path_;
  Pickle pickle_;
  std::int64_t size_ = 0;
  const PickleValue* data_ = nullptr;
  const PickleValue* labels_ = nullptr;
};

// "label_names" of batches.meta.
std::vector<std::string> cifar_label_names(const Path& path, std::span<const std::uint8_t> bytes);

bool is_cifar_python(const Path& folder);
Dataset load_cifar_python(const Path& path, const Path& folder, Split split);

}  // namespace kiln::formats
