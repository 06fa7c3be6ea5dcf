// CIFAR-10 straight out of cifar-10-binary.tar.gz or cifar-10-python.tar.gz (gzip or plain tar),
// read once from front to back.
#pragma once

#include <optional>

#include "engine/data/dataset.h"
#include "engine/data/formats/gzip.h"

namespace kiln::formats {

struct CifarArchive {
  std::optional<Dataset> train;  // where asked for
  std::optional<Dataset> test;
};

// `path` is for names and messages; `source` gives the archive's bytes. Batches of a split have to
// be equally large, as in the official archives.
CifarArchive load_cifar_archive(const Path& path, ByteSource& source, bool train, bool test);

// More than either official archive holds by a factor of ten.
inline constexpr std::uint64_t kMaxArchiveBytes = std::uint64_t{1} << 31;

}  // namespace kiln::formats
