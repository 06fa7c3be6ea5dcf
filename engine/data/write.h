// Writing data sets: whole folders, that appear complete or not at all.
#pragma once

#include "engine/data/dataset.h"
#include "engine/data/synth.h"

namespace kiln {

enum class DatasetFormat { cifar10_binary, folder, idx };

// "cifar10-binary", "folder", "idx"; throws Error (usage) for another name.
DatasetFormat parse_dataset_format(std::string_view name);

// Writes both splits to the new folder `target`:
//   cifar10_binary  needs 32x32 RGB pictures and at most 256 classes
//   folder          train/<class>/0000000.png ... and test/..., lossless, and classes.txt
//   idx             rank 3 for grey, rank 4 for RGB, and classes.txt; at most 256 classes
// A synthetic set keeps its marker; `note` is what the marker says ("" for a plain sentence).
// Throws Error (usage) when the format cannot hold the set, Error (io) otherwise.
void write_dataset(const Path& target, DatasetFormat format, const DatasetPair& data,
                   ThreadPool& pool, std::string_view note = {}, const Progress& progress = {});

}  // namespace kiln
