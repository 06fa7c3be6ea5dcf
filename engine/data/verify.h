// Looking at a whole data set: what is in it, and whether it is sound.
#pragma once

#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/image/image_codec.h"

namespace kiln {

// Reads every picture and label of both splits. Throws Error for the first problem: a file that is
// missing, cut, empty, unreadable or the copy of another one; a label out of range. What is worth
// knowing but no fault comes back as lines: equal pictures, classes without pictures, whether files
// of the official names match the published MD5 sums.
std::vector<std::string> verify_dataset(const Path& path, Log& log, ThreadPool& pool);

// MD5 over the labels (int32, little-endian) and the pictures (NHWC) of a split: the same set has
// the same sum in every lossless format.
std::string dataset_checksum(const Dataset& dataset);

// Pictures of each class.
std::vector<std::int64_t> class_counts(const Dataset& dataset);

// A picture of the first `per_class` pictures of each class (at most 64 classes): one row a class,
// one grey pixel between pictures.
Image contact_sheet(const Dataset& dataset, int per_class);

}  // namespace kiln
