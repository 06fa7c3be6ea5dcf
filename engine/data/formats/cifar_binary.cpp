#include "engine/data/formats/cifar_binary.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/data/formats/common.h"
#include "engine/data/parallel.h"

namespace kiln::formats {
namespace {

// Records read at a time: 192 KiB, which stays in the second-level cache until it is converted.
constexpr std::int64_t kChunkRecords = 64;

struct BatchFile {
  Path path;
  UniqueFd fd;
  std::int64_t record_count = 0;
  std::int64_t first_sample = 0;
};

BatchFile open_batch(const Path& path, std::int64_t first_sample) {
  BatchFile file{.path = path,
                 .fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)),
                 .first_sample = first_sample};
  if (!file.fd && errno == ENOENT) refuse(path, "is missing", "get the whole data set again");
  struct stat info {};
  if (!file.fd || ::fstat(file.fd.get(), &info) != 0)
    throw Error(ErrorKind::io, path.string(), "cannot open: " + errno_text(errno));
  if (!S_ISREG(info.st_mode)) refuse(path, "is not a regular file");
  file.record_count = cifar_record_count(path, static_cast<std::uint64_t>(info.st_size));
  return file;
}

void read_at(const BatchFile& file, std::span<std::uint8_t> out, std::int64_t offset) {
  while (!out.empty()) {
    const ssize_t got = ::pread(file.fd.get(), out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw Error(ErrorKind::io, file.path.string(), "cannot read: " + errno_text(errno));
    if (got == 0) refuse(file.path, "shrank while it was read");
    out = out.subspan(static_cast<std::size_t>(got));
    offset += got;
  }
}

// Reads a file by chunks on all threads; the data set is never held twice.
void load_batch(const BatchFile& file, std::int64_t class_count, std::span<std::int32_t> labels,
                std::uint8_t* images, ThreadPool& pool) {
  const std::int64_t chunk_count = (file.record_count + kChunkRecords - 1) / kChunkRecords;
  std::vector<std::vector<std::uint8_t>> scratch(
      static_cast<std::size_t>(pool.thread_count()),
      std::vector<std::uint8_t>(kChunkRecords * kCifarRecordBytes));
  parallel_try(pool, chunk_count, [&](std::int64_t chunk, int thread) {
    const std::int64_t first = chunk * kChunkRecords;
    const std::int64_t count = std::min(kChunkRecords, file.record_count - first);
    const auto records = std::span(scratch[static_cast<std::size_t>(thread)])
                             .first(static_cast<std::size_t>(count * kCifarRecordBytes));
    read_at(file, records, first * kCifarRecordBytes);
    decode_cifar_records(
        file.path, records, first, class_count,
        labels.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
        images + first * kCifarImageBytes);
  });
}

std::vector<std::string> read_class_names(const Path& folder) {
  const Path path = folder / "batches.meta.txt";
  if (!is_file(path)) return to_strings(cifar10_class_names());
  std::vector<std::string> names = parse_class_names(path, read_text_file(path, kMaxTextBytes));
  if (names.empty() || names.size() > 256)
    refuse(path, "names " + std::to_string(names.size()) + " classes", "1 to 256 are possible");
  return names;
}

}  // namespace

std::vector<std::string> cifar_file_names(Split split, std::string_view suffix) {
  if (split == Split::test) return {"test_batch" + std::string(suffix)};
  std::vector<std::string> names;
  for (int i = 1; i <= 5; ++i)
    names.push_back("data_batch_" + std::to_string(i) + std::string(suffix));
  return names;
}

bool is_cifar_binary(const Path& folder) {
  return is_file(folder / "data_batch_1.bin") || is_file(folder / "test_batch.bin");
}

std::int64_t cifar_record_count(const Path& path, std::uint64_t size_bytes) {
  if (size_bytes == 0) refuse(path, "is empty", "get the data set again");
  if (size_bytes % kCifarRecordBytes != 0)
    refuse(path,
           "is cut short or no CIFAR-10 batch: " + std::to_string(size_bytes) +
               " bytes are no multiple of the 3073 of a record",
           "get the data set again");
  return static_cast<std::int64_t>(size_bytes) / kCifarRecordBytes;
}

void planes_to_pixels(const std::uint8_t* planes, std::uint8_t* pixels) {
  for (std::int64_t i = 0; i < kCifarPlane; ++i) {
    pixels[3 * i] = planes[i];
    pixels[3 * i + 1] = planes[kCifarPlane + i];
    pixels[3 * i + 2] = planes[2 * kCifarPlane + i];
  }
}

void pixels_to_planes(const std::uint8_t* pixels, std::uint8_t* planes) {
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t i = 0; i < kCifarPlane; ++i) planes[c * kCifarPlane + i] = pixels[3 * i + c];
}

void decode_cifar_records(const Path& path, std::span<const std::uint8_t> records,
                          std::int64_t first_record, std::int64_t class_count,
                          std::span<std::int32_t> labels, std::uint8_t* images) {
  const std::uint8_t* record = records.data();
  for (std::size_t i = 0; i < labels.size(); ++i, record += kCifarRecordBytes) {
    if (record[0] >= class_count)
      refuse(path,
             "record " + std::to_string(first_record + static_cast<std::int64_t>(i)) +
                 " has the label " + std::to_string(record[0]) + " of " +
                 std::to_string(class_count) + " classes",
             "the file is damaged or not a CIFAR-10 batch");
    labels[i] = record[0];
    planes_to_pixels(record + 1, images + static_cast<std::int64_t>(i) * kCifarImageBytes);
  }
}

Dataset load_cifar_binary(const Path& path, const Path& folder, Split split, ThreadPool& pool) {
  std::vector<BatchFile> files;
  std::int64_t count = 0;
  for (const std::string& name : cifar_file_names(split, ".bin")) {
    files.push_back(open_batch(folder / name, count));
    count += files.back().record_count;
  }
  DatasetInfo info = describe("CIFAR-10 binary", path, folder, read_class_names(folder));
  info.height = info.width = kCifarSide;
  info.channels = 3;
  Buffer images = image_buffer(path, count, kCifarImageBytes);
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (const BatchFile& file : files)
    load_batch(
        file, static_cast<std::int64_t>(info.class_names.size()),
        std::span(labels).subspan(static_cast<std::size_t>(file.first_sample),
                                  static_cast<std::size_t>(file.record_count)),
        reinterpret_cast<std::uint8_t*>(images.data()) + file.first_sample * kCifarImageBytes,
        pool);
  return Dataset(std::move(info), std::move(images), std::move(labels));
}

}  // namespace kiln::formats
