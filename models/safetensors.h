// The safetensors file format: named tensors behind a JSON header, nothing that can execute.
//
//   u64 header length N, little-endian | N bytes of JSON, padded with spaces | data
//   header: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
//            "__metadata__": {"key": "text"}}         offsets count from the start of the data
//
// The reader is strict: the tensors tile the data without overlap or gap, each size is shape times
// element size, no key occurs twice, names are UTF-8, and every fault is an Error that names the
// file and the tensor. Source: github.com/huggingface/safetensors, README "Format".
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/dtype.h"
#include "engine/core/file.h"
#include "engine/core/shape.h"

namespace kiln {

// Largest header taken: some 100,000 tensors. (The reference reader takes 100 MB.)
inline constexpr std::uint64_t kSafetensorsHeaderLimitBytes = std::uint64_t{16} << 20;

using SafetensorsMetadata = std::map<std::string, std::string, std::less<>>;

// A named view. `bytes` holds shape x dtype elements, little-endian, in row-major order. In a file
// written by others they may start at any address: copy them with memcpy.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::span<const std::byte> bytes;
};

struct SafetensorsContents {
  std::vector<SafetensorsEntry> entries;  // sorted by name
  SafetensorsMetadata metadata;

  // nullptr when there is no tensor of that name.
  const SafetensorsEntry* find(std::string_view name) const;
};

// Checks a whole file in memory; the entries point into `file`. `thing` names it in errors.
SafetensorsContents parse_safetensors(std::span<const std::byte> file, std::string_view thing);

// A file read into memory and checked. Not mapped: a file that somebody cuts off while it is read
// must be an error, and under a map it would be the end of the process.
class SafetensorsFile {
 public:
  // Throws Error (io, or input naming the fault).
  explicit SafetensorsFile(const Path& path);
  // Tensors out of a file of another format, by their names there; `path` names it in errors.
  struct OwnedTensor {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
    std::vector<std::byte> bytes;
  };
  using Owned = std::vector<OwnedTensor>;
  SafetensorsFile(const Path& path, Owned tensors);

  const Path& path() const { return path_; }
  std::span<const SafetensorsEntry> entries() const { return contents_.entries; }
  const SafetensorsMetadata& metadata() const { return contents_.metadata; }
  const SafetensorsEntry* find(std::string_view name) const { return contents_.find(name); }
  // The tensor `name`, which must have this type and shape; else an Error (input) says what is
  // there instead.
  const SafetensorsEntry& at(std::string_view name, DType dtype, const Shape& shape) const;

 private:
  Path path_;
  std::vector<std::byte> bytes_;
  Owned owned_;
  SafetensorsContents contents_;
};

// Writes the file atomically and without a second copy of the tensors. Entries are laid out by
// falling element size and then by name, as the reference writer does, so that each one is aligned;
// the same entries in another order give the same bytes. Throws Error (io), or std::logic_error for
// names that are empty, reserved, twice there or not UTF-8, or bytes that do not fit the shape.
void write_safetensors(const Path& path, std::span<const SafetensorsEntry> entries,
                       const SafetensorsMetadata& metadata = {});

}  // namespace kiln
