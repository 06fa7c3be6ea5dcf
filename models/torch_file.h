// TorchFile: the tensors in a file of torch.save, since PyTorch 1.6 a ZIP archive:
//
//   NAME/data.pkl    a pickle that describes dictionaries and tensors
//   NAME/data/0 ...  the storages, one for all tensors that share it, raw elements
//   NAME/byteorder   "little" or "big"; little where it is missing
//
// What is read is a state dict: the whole file, or what lies in a checkpoint under
// "model_state_dict", "state_dict", "model", "net" or "model_state". A "module." (DataParallel) or
// "_orig_mod." (torch.compile) in front of every name is taken off. Nothing in the file is executed
// (models/torch_calls.h); files before 1.6, TorchScript and pickled modules are refused with what
// to do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/file.h"
#include "engine/core/shape.h"
#include "models/zip_archive.h"

namespace kiln {

class Pickle;
struct PickleValue;

enum class TorchType : std::uint8_t { f32, f64, f16, bf16, i64, i32, i16, i8, u8, boolean };
std::string_view name_of(TorchType type);
constexpr bool is_floating(TorchType type) { return type <= TorchType::bf16; }

// A view of a storage; it was checked to lie inside.
struct TorchTensor {
  std::string name;
  TorchType type = TorchType::f32;
  Shape shape;
  std::vector<std::int64_t> strides;  // in elements, zero or more
  std::int64_t offset = 0;            // of the first element
  const ZipEntry* storage = nullptr;
};

class TorchFile {
 public:
  // Throws Error (io, or input naming the fault).
  explicit TorchFile(const Path& path);
  // A file that lies in memory; `path` names it in errors.
  TorchFile(const Path& path, std::vector<std::byte> bytes);
  TorchFile(const TorchFile&) = delete;
  TorchFile& operator=(const TorchFile&) = delete;

  const Path& path() const { return path_; }
  std::vector<TorchTensor>& tensors() { return tensors_; }  // in the file's order
  const std::vector<TorchTensor>& tensors() const { return tensors_; }
  const TorchTensor* find(std::string_view name) const;

  // The elements in row-major order, rounded to f32. Throws Error (input) for a damaged storage.
  std::vector<float> floats(const TorchTensor& tensor) const;
  // The same of a tensor whose type is not floating.
  std::vector<std::int64_t> integers(const TorchTensor& tensor) const;

 private:
  void read();
  const PickleValue& state_dict(const Pickle& pickle) const;
  TorchTensor tensor_of(const Pickle& pickle, const PickleValue& value, std::string name) const;
  void check_inside(const TorchTensor& tensor, std::int64_t element_count) const;
  void take_prefix_off(std::string_view prefix);
  [[noreturn]] void fail(std::string_view wrong, std::string_view mend = {}) const;
  template <class T>
  std::vector<T> elements(const TorchTensor& tensor) const;

  Path path_;
  std::vector<std::byte> bytes_;
  std::unique_ptr<const ZipArchive> archive_;
  std::string folder_;  // "NAME/"
  bool big_endian_ = false;
  std::vector<TorchTensor> tensors_;
};

}  // namespace kiln
