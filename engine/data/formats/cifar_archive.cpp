#include "engine/data/formats/cifar_archive.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "engine/data/formats/cifar_binary.h"
#include "engine/data/formats/cifar_python.h"
#include "engine/data/formats/common.h"
#include "engine/data/formats/tar.h"

namespace kiln::formats {
namespace {

// Pictures of one split as their batches come, in any order.
struct SplitParts {
  Split split;
  bool wanted;
  std::int64_t batch_size = 0;  // pictures; 0 before the first batch
  Buffer images = {};
  std::vector<std::int32_t> labels = {};
  std::array<bool, 5> seen = {};

  std::int64_t batch_count() const { return split == Split::train ? 5 : 1; }

  // Room for batch `number` of `count` pictures.
  std::int64_t book(const Path& path, std::int64_t number, std::int64_t count) {
    if (batch_size == 0) {
      batch_size = count;
      images = image_buffer(path, count * batch_count(), kCifarImageBytes);
      labels.resize(static_cast<std::size_t>(count * batch_count()));
    }
    if (count != batch_size)
      refuse(path, "has batches of different sizes", "unpack it and name the folder");
    if (std::exchange(seen[static_cast<std::size_t>(number)], true))
      refuse(path, "holds a batch twice");
    return number * batch_size;
  }
  std::uint8_t* images_at(std::int64_t sample) {
    return reinterpret_cast<std::uint8_t*>(images.data()) + sample * kCifarImageBytes;
  }
  std::span<std::int32_t> labels_at(std::int64_t sample, std::int64_t count) {
    return std::span(labels).subspan(static_cast<std::size_t>(sample),
                                     static_cast<std::size_t>(count));
  }
};

class ArchiveLoader {
 public:
  ArchiveLoader(const Path& path, ByteSource& source, bool train, bool test)
      : path_(path),
        tar_(path, source),
        parts_{SplitParts{.split = Split::train, .wanted = train},
               SplitParts{.split = Split::test, .wanted = test}} {}

  CifarArchive run() {
    while (const auto entry = tar_.next()) take_entry(*entry);
    CifarArchive archive;
    if (parts_[0].wanted) archive.train = finish(parts_[0]);
    if (parts_[1].wanted) archive.test = finish(parts_[1]);
    return archive;
  }

 private:
  void take_entry(const TarEntry& entry) {
    const std::string base = entry.name.substr(entry.name.rfind('/') + 1);
    if (base == kSyntheticMarker) synthetic_ = true;
    if (base == "batches.meta.txt")
      class_names_ =
          parse_class_names(member(base), text_of(read_member(base, entry, kMaxTextBytes)));
    if (base == "batches.meta")
      class_names_ = cifar_label_names(member(base), read_member(base, entry, kMaxTextBytes));
    for (SplitParts& parts : parts_)
      for (const bool python : {false, true}) {
        const auto names = cifar_file_names(parts.split, python ? "" : ".bin");
        const auto found = std::find(names.begin(), names.end(), base);
        if (found == names.end()) continue;
        holds_batches_ = true;
        if (!parts.wanted) continue;
        python ? take_pickle(parts, found - names.begin(), base, entry)
               : take_records(parts, found - names.begin(), base, entry);
        is_python_ = python;
      }
  }

  // By chunks that stay in the cache; a batch is never held beside its pictures.
  void take_records(SplitParts& parts, std::int64_t number, const std::string& base,
                    const TarEntry& entry) {
    constexpr std::int64_t kChunk = 64;
    const std::int64_t count = cifar_record_count(member(base), entry.size_bytes);
    std::vector<std::uint8_t> records(
        static_cast<std::size_t>(std::min(kChunk, count) * kCifarRecordBytes));
    // The first chunk is read before memory is taken for what the header claims.
    std::int64_t first = -1;
    for (std::int64_t done = 0; done < count; done += kChunk) {
      const std::int64_t chunk = std::min(kChunk, count - done);
      const auto part =
          std::span(records).first(static_cast<std::size_t>(chunk * kCifarRecordBytes));
      tar_.read(part);
      if (first < 0) first = parts.book(path_, number, count);
      decode_cifar_records(member(base), part, done, 256, parts.labels_at(first + done, chunk),
                           parts.images_at(first + done));
    }
  }

  void take_pickle(SplitParts& parts, std::int64_t number, const std::string& base,
                   const TarEntry& entry) {
    const std::vector<std::uint8_t> bytes = read_member(base, entry, kMaxPickleBytes);
    const CifarPickle batch(member(base), bytes);
    const std::int64_t first = parts.book(path_, number, batch.size());
    batch.decode(256, parts.labels_at(first, batch.size()), parts.images_at(first));
  }

  // Grows with what the archive really holds, not with the size that a header claims.
  std::vector<std::uint8_t> read_member(const std::string& base, const TarEntry& entry,
                                        std::uint64_t limit_bytes) {
    if (entry.size_bytes > limit_bytes) refuse(member(base), "is too large");
    std::vector<std::uint8_t> bytes;
    while (tar_.remaining_bytes() > 0) {
      const std::size_t first = bytes.size();
      bytes.resize(first + static_cast<std::size_t>(
                               std::min<std::uint64_t>(tar_.remaining_bytes(), 1 << 20)));
      tar_.read(std::span(bytes).subspan(first));
    }
    return bytes;
  }

  Dataset finish(SplitParts& parts) {
    if (!holds_batches_)
      refuse(path_, "holds no batch of CIFAR-10", "if it holds pictures, unpack it");
    for (std::int64_t i = 0; i < parts.batch_count(); ++i)
      if (!parts.seen[static_cast<std::size_t>(i)])
        refuse(path_, "lacks " + cifar_file_names(parts.split, "")[static_cast<std::size_t>(i)],
               "get the archive again");
    DatasetInfo info = describe(is_python_ ? "CIFAR-10 Python archive" : "CIFAR-10 binary archive",
                                path_, Path("/nonexistent"), class_names_);
    if (synthetic_) {
      info.synthetic = true;
      info.name = "synthetic stand-in";
      info.origin = "synthetic stand-in drawn by kiln data synth, " + info.origin;
    }
    info.height = info.width = kCifarSide;
    info.channels = 3;
    const auto class_count = static_cast<std::int32_t>(class_names_.size());
    for (const std::int32_t label : parts.labels)
      if (label >= class_count)
        refuse(path_, "has the label " + std::to_string(label) + " of " +
                          std::to_string(class_count) + " classes");
    return Dataset(std::move(info), std::move(parts.images), std::move(parts.labels));
  }

  Path member(const std::string& base) const { return Path(path_.string() + ":" + base); }
  static std::string text_of(const std::vector<std::uint8_t>& bytes) {
    return {bytes.begin(), bytes.end()};
  }

  Path path_;
  TarReader tar_;
  std::array<SplitParts, 2> parts_;
  std::vector<std::string> class_names_ = to_strings(cifar10_class_names());
  bool synthetic_ = false;
  bool is_python_ = false;
  bool holds_batches_ = false;  // of any split
};

}  // namespace

CifarArchive load_cifar_archive(const Path& path, ByteSource& source, bool train, bool test) {
  return ArchiveLoader(path, source, train, test).run();
}

}  // namespace kiln::formats
