// CIFAR-10's binary version (https://www.cs.toronto.edu/~kriz/cifar.html): a file is a row of
// records of 3073 bytes: one label, then 1024 red, 1024 green and 1024 blue bytes, each a 32x32
// plane in row-major order. batches.meta.txt holds the class names, one a line.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/data/dataset.h"

namespace kiln::formats {

inline constexpr std::int64_t kCifarSide = 32;
inline constexpr std::int64_t kCifarPlane = kCifarSide * kCifarSide;
inline constexpr std::int64_t kCifarImageBytes = 3 * kCifarPlane;
inline constexpr std::int64_t kCifarRecordBytes = kCifarImageBytes + 1;

// "data_batch_1.bin" .. "data_batch_5.bin", or "test_batch.bin".
std::vector<std::string> cifar_file_names(Split split, std::string_view suffix);

bool is_cifar_binary(const Path& folder);
Dataset load_cifar_binary(const Path& path, const Path& folder, Split split, ThreadPool& pool);

// Records [0, labels.size()) of `records` into labels and pictures [n, 32, 32, 3]. `first_record`
// is the number of the first one in `path`, for messages. Throws Error (input) for a label that is
// not below class_count.
void decode_cifar_records(const Path& path, std::span<const std::uint8_t> records,
                          std::int64_t first_record, std::int64_t class_count,
                          std::span<std::int32_t> labels, std::uint8_t* images);

// [3, 1024] planes to [1024, 3] pixels, and back.
void planes_to_pixels(const std::uint8_t* planes, std::uint8_t* pixels);
void pixels_to_planes(const std::uint8_t* pixels, std::uint8_t* planes);

// The number of records in a file of `size_bytes`; throws Error (input) when it is empty or does
// not end with a whole record.
std::int64_t cifar_record_count(const Path& path, std::uint64_t size_bytes);

}  // namespace kiln::formats
