// Dataset: labelled pictures in memory, all of one size, read at random; no threads, no shuffling.
//
// Pictures are uint8 [count, height, width, channels] in one contiguous block; labels are int32 in
// [0, class count). load_dataset recognises these layouts of a folder or a file:
//   CIFAR-10 binary   data_batch_1.bin .. data_batch_5.bin, test_batch.bin, batches.meta.txt
//   CIFAR-10 Python   data_batch_1 .. data_batch_5, test_batch, batches.meta (nothing is executed)
//   both also in cifar-10-batches-bin/ or -py/, or in cifar-10-binary.tar.gz or -python.tar.gz
//   image folder      train/<class>/*.{jpg,jpeg,png} and test/<class>/..., or <class>/... alone
//   IDX (MNIST)       train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., plain or .gz, in
//                     one folder or in training/ and testing/
//
// CIFAR-10's files, too, may lie apart in train/ and test/. These folders may also be called
// training/, and testing/, val/, valid/ or validation/.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/check.h"
#include "engine/core/file.h"
#include "engine/core/log.h"
#include "engine/core/thread_pool.h"
#include "engine/image/image_size.h"

namespace kiln {

enum class Split { train, test };
std::string_view name_of(Split split);

struct DatasetInfo {
  std::string name = {};    // short: "CIFAR-10", "MNIST", the folder's name
  std::string origin = {};  // for people: format and path, and whether the pictures are a stand-in
  bool synthetic = false;   // drawn by kiln data synth; every report must say so
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;  // 1 or 3
  std::vector<std::string> class_names = {};
};

class Dataset {
 public:
  Dataset() = default;
  // `images` holds labels.size() pictures of height x width x channels bytes.
  Dataset(DatasetInfo info, Buffer images, std::vector<std::int32_t> labels);

  std::int64_t size() const { return static_cast<std::int64_t>(labels_.size()); }
  std::int64_t image_bytes() const { return info_.height * info_.width * info_.channels; }
  // [height, width, channels] of sample i.
  std::span<const std::uint8_t> image(std::int64_t i) const {
    KILN_CHECK(i >= 0 && i < size());
    return images().subspan(static_cast<std::size_t>(i * image_bytes()),
                            static_cast<std::size_t>(image_bytes()));
  }
  std::int32_t label(std::int64_t i) const {
    KILN_CHECK(i >= 0 && i < size());
    return labels_[static_cast<std::size_t>(i)];
  }
  // All pictures, [size(), height, width, channels].
  std::span<const std::uint8_t> images() const {
    return {reinterpret_cast<const std::uint8_t*>(images_.data()),
            static_cast<std::size_t>(size() * image_bytes())};
  }
  std::span<const std::int32_t> labels() const { return labels_; }
  const DatasetInfo& info() const { return info_; }
  std::int64_t class_count() const { return static_cast<std::int64_t>(info_.class_names.size()); }

 private:
  DatasetInfo info_;
  Buffer images_;
  std::vector<std::int32_t> labels_;
};

struct LoadOptions {
  // Pictures of image folders are resized to this: averaged over areas when they shrink, bilinear
  // when they grow. Empty: all pictures must have one size, and the first that differs is an
  // error. Pictures of the other formats have a fixed size and are resized likewise when asked.
  std::optional<ImageSize> resize = {};
  // Called often, from any thread, while pictures are read: what it throws ends the reading.
  std::function<void()> pause = {};
};

enum class DataLayout { cifar_binary, cifar_python, archive, idx, image_folder };
// The layout of a folder or a file, by the names in it; nothing where load_dataset knows none.
// Throws Error (io).
std::optional<DataLayout> find_layout(const Path& path);

// Recognises the layout of `path`, reads one split of it and logs one line: format, counts, decoder
// where pictures were decoded. Throws Error (input or io) naming the file that is wrong.
Dataset load_dataset(const Path& path, Split split, Log& log, ThreadPool& pool,
                     const LoadOptions& options = {});

// Both splits; an archive is unpacked once.
struct DatasetPair {
  Dataset train;
  Dataset test;
};
DatasetPair load_dataset_pair(const Path& path, Log& log, ThreadPool& pool,
                              const LoadOptions& options = {});

// The ten class names of CIFAR-10 in label order.
std::span<const std::string_view> cifar10_class_names();

// A folder that holds this file was drawn by kiln data synth; the file says so in words.
inline constexpr const char* kSyntheticMarker = "SYNTHETIC.txt";

}  // namespace kiln
