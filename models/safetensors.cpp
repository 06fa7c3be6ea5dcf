#include "models/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "models/safetensors_header.h"

namespace kiln {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kDataAlignment = 8;

struct TypeName {
  std::string_view name;
  DType dtype;
};
constexpr TypeName kTypeNames[] = {{"F32", DType::f32},
                                   {"F64", DType::f64},
                                   {"I32", DType::i32},
                                   {"I64", DType::i64},
                                   {"U8", DType::u8}};

std::string_view file_name_of(DType dtype) {
  for (const TypeName& type : kTypeNames)
    if (type.dtype == dtype) return type.name;
  return {};
}

// Errors of one file; `thing` is its name.
class Faults {
 public:
  explicit Faults(std::string_view thing) : thing_(thing) {}

  [[noreturn]] void file(const std::string& wrong) const {
    throw Error(ErrorKind::input, thing_, wrong, "the file is damaged or is not safetensors");
  }
  [[noreturn]] void tensor(std::string_view name, const std::string& wrong) const {
    throw Error(ErrorKind::input, thing_, "tensor \"" + printable(name) + "\" " + wrong);
  }

 private:
  std::string_view thing_;
};

DType type_of(const SafetensorsHeaderEntry& entry, const Faults& faults) {
  for (const TypeName& type : kTypeNames)
    if (type.name == entry.dtype) return type.dtype;
  faults.tensor(entry.name, "has the type " + printable(entry.dtype, 20) +
                                "; kiln reads F32, F64, I32, I64 and U8");
}

Shape shape_of(const SafetensorsHeaderEntry& entry, const Faults& faults) {
  std::vector<std::int64_t> extents;
  for (const std::uint64_t extent : entry.shape) {
    if (extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      faults.tensor(entry.name, "has a shape that does not fit 63 bits");
    extents.push_back(static_cast<std::int64_t>(extent));
  }
  return Shape(extents);
}

// shape x element size, refusing what does not fit 64 bits.
std::uint64_t size_bytes_of(const SafetensorsHeaderEntry& entry, DType dtype,
                            const Faults& faults) {
  std::uint64_t size = size_of(dtype);
  for (const std::uint64_t extent : entry.shape)
    if (__builtin_mul_overflow(size, extent, &size))
      faults.tensor(entry.name, "has a shape whose size does not fit 64 bits");
  return size;
}

// The tensors must lie one behind the other from the data's first byte to its last.
void check_tiling(std::vector<SafetensorsHeaderEntry>& entries, std::uint64_t data_bytes,
                  const Faults& faults) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t end = 0;
  for (const SafetensorsHeaderEntry& entry : entries) {
    if (entry.begin > entry.end) faults.tensor(entry.name, "ends before it begins");
    if (entry.end > data_bytes)
      faults.tensor(entry.name, "ends at byte " + std::to_string(entry.end) +
                                    " of the data, which has " + std::to_string(data_bytes));
    if (entry.begin < end)
      faults.tensor(entry.name,
                    "begins at byte " + std::to_string(entry.begin) + ", inside the one before");
    if (entry.begin > end)
      faults.tensor(entry.name, "begins at byte " + std::to_string(entry.begin) +
                                    ", which leaves a gap from byte " + std::to_string(end));
    end = entry.end;
  }
  if (end != data_bytes)
    faults.file("has " + std::to_string(data_bytes - end) + " bytes behind its last tensor");
}

SafetensorsEntry view_of(SafetensorsHeaderEntry&& entry, std::span<const std::byte> data,
                         const Faults& faults) {
  const DType dtype = type_of(entry, faults);
  const std::uint64_t size = size_bytes_of(entry, dtype, faults);
  if (entry.end - entry.begin != size)
    faults.tensor(entry.name, "has " + std::to_string(entry.end - entry.begin) +
                                  " bytes where its shape and type need " + std::to_string(size));
  const Shape shape = shape_of(entry, faults);
  return {std::move(entry.name), dtype, shape, data.subspan(entry.begin, size)};
}

void sort_by_name(std::vector<SafetensorsEntry>& entries) {
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
}

std::string_view checked_header(std::span<const std::byte> file, const Faults& faults) {
  if (file.size() < kLengthBytes)
    faults.file("has " + std::to_string(file.size()) + " bytes, too few for a header");
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kSafetensorsHeaderLimitBytes)
    faults.file("announces a header of " + std::to_string(length) + " bytes, more than " +
                std::to_string(kSafetensorsHeaderLimitBytes));
  if (length > file.size() - kLengthBytes)
    faults.file("announces a header of " + std::to_string(length) + " bytes but holds " +
                std::to_string(file.size() - kLengthBytes));
  return {reinterpret_cast<const char*>(file.data()) + kLengthBytes, length};
}

}  // namespace

const SafetensorsEntry* SafetensorsContents::find(std::string_view name) const {
  const auto at = std::lower_bound(
      entries.begin(), entries.end(), name,
      [](const SafetensorsEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return at != entries.end() && at->name == name ? &*at : nullptr;
}

SafetensorsContents parse_safetensors(std::span<const std::byte> file, std::string_view thing) {
  const Faults faults(thing);
  const std::string_view text = checked_header(file, faults);
  SafetensorsHeader header = parse_safetensors_header(text, thing);
  const auto data = file.subspan(kLengthBytes + text.size());
  check_tiling(header.entries, data.size(), faults);

  SafetensorsContents contents;
  contents.metadata = std::move(header.metadata);
  contents.entries.reserve(header.entries.size());
  for (SafetensorsHeaderEntry& entry : header.entries)
    contents.entries.push_back(view_of(std::move(entry), data, faults));
  sort_by_name(contents.entries);
  const auto twin =
      std::adjacent_find(contents.entries.begin(), contents.entries.end(),
                         [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twin != contents.entries.end()) faults.tensor(twin->name, "is there twice");
  return contents;
}

SafetensorsFile::SafetensorsFile(const Path& path)
    : path_(path),
      bytes_(read_file(path, std::numeric_limits<std::uint64_t>::max())),
      contents_(parse_safetensors(bytes_, path.string())) {}

SafetensorsFile::SafetensorsFile(const Path& path, Owned tensors)
    : path_(path), owned_(std::move(tensors)) {
  for (const OwnedTensor& tensor : owned_) {
    KILN_CHECK(tensor.bytes.size() ==
               static_cast<std::uint64_t>(tensor.shape.element_count()) * size_of(tensor.dtype));
    contents_.entries.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.bytes});
  }
  sort_by_name(contents_.entries);
}

const SafetensorsEntry& SafetensorsFile::at(std::string_view name, DType dtype,
                                            const Shape& shape) const {
  const SafetensorsEntry* entry = find(name);
  const Faults faults(path_.native());
  if (entry == nullptr) faults.tensor(name, "is missing");
  if (entry->dtype != dtype || entry->shape != shape)
    faults.tensor(name, "is " + std::string(name_of(entry->dtype)) + " " + to_string(entry->shape) +
                            "; the model needs " + std::string(name_of(dtype)) + " " +
                            to_string(shape));
  return *entry;
}

namespace {

// Larger elements first, so that every tensor is aligned to its own element; then by name.
std::vector<const SafetensorsEntry*> layout_order(std::span<const SafetensorsEntry> entries) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : entries) {
    KILN_CHECK(!entry.name.empty() && entry.name != kSafetensorsMetadataKey);
    KILN_CHECK(entry.bytes.size() ==
               static_cast<std::uint64_t>(entry.shape.element_count()) * size_of(entry.dtype));
    order.push_back(&entry);
  }
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    const std::size_t size_a = size_of(a->dtype), size_b = size_of(b->dtype);
    return size_a != size_b ? size_a > size_b : a->name < b->name;
  });
  return order;
}

std::string header_text(std::span<const SafetensorsEntry* const> order,
                        const SafetensorsMetadata& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[kSafetensorsMetadataKey] = metadata;
  std::uint64_t offset = 0;
  for (const SafetensorsEntry* entry : order) {
    KILN_CHECK(!header.contains(entry->name));
    header[entry->name] = {{"dtype", file_name_of(entry->dtype)},
                           {"shape", entry->shape.extents()},
                           {"data_offsets", {offset, offset + entry->bytes.size()}}};
    offset += entry->bytes.size();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::type_error&) {  // a string that is not UTF-8
    check_failed("safetensors names and metadata are UTF-8", __FILE__, __LINE__);
  }
  text.append((kDataAlignment - text.size() % kDataAlignment) % kDataAlignment, ' ');
  KILN_CHECK(text.size() <= kSafetensorsHeaderLimitBytes);
  return text;
}

}  // namespace

void write_safetensors(const Path& path, std::span<const SafetensorsEntry> entries,
                       const SafetensorsMetadata& metadata) {
  const std::vector<const SafetensorsEntry*> order = layout_order(entries);
  const std::string text = header_text(order, metadata);
  const std::uint64_t length = text.size();
  std::vector<std::span<const std::byte>> pieces;
  pieces.push_back(std::as_bytes(std::span(&length, 1)));
  pieces.push_back(std::as_bytes(std::span(text.data(), text.size())));
  for (const SafetensorsEntry* entry : order) pieces.push_back(entry->bytes);
  write_file_atomic(path, std::span<const std::span<const std::byte>>(pieces));
}

}  // namespace kiln
