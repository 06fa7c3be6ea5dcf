#include "models/torch_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <set>
#include <utility>

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "engine/core/half.h"
#include "engine/pickle/pickle.h"
#include "models/torch_calls.h"

namespace kiln {
namespace {

using Kind = PickleValue::Kind;

constexpr std::uint64_t kMostPickleBytes = std::uint64_t{16} << 20;
constexpr std::int64_t kMostElements = std::int64_t{1} << 32;  // of one tensor
constexpr std::size_t kMostNameBytes = 512;
constexpr std::array<std::string_view, 5> kStateDictKeys = {"model_state_dict", "state_dict",
                                                            "model", "net", "model_state"};

struct TypeRow {
  TorchType type;
  std::string_view name, storage;
  std::size_t bytes;
};
constexpr TypeRow kTypes[] = {{TorchType::f32, "f32", "torch.FloatStorage", 4},
                              {TorchType::f64, "f64", "torch.DoubleStorage", 8},
                              {TorchType::f16, "f16", "torch.HalfStorage", 2},
                              {TorchType::bf16, "bf16", "torch.BFloat16Storage", 2},
                              {TorchType::i64, "i64", "torch.LongStorage", 8},
                              {TorchType::i32, "i32", "torch.IntStorage", 4},
                              {TorchType::i16, "i16", "torch.ShortStorage", 2},
                              {TorchType::i8, "i8", "torch.CharStorage", 1},
                              {TorchType::u8, "u8", "torch.ByteStorage", 1},
                              {TorchType::boolean, "bool", "torch.BoolStorage", 1}};

const TypeRow& row_of(TorchType type) { return kTypes[static_cast<std::size_t>(type)]; }

// One element of `Bits`' size, in the order of bytes that the file has.
template <class Bits>
Bits load(const std::byte* from, bool swap) {
  std::byte bytes[sizeof(Bits)];
  std::memcpy(bytes, from, sizeof bytes);
  if (swap) std::reverse(std::begin(bytes), std::end(bytes));
  Bits value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <class T>
T load_as(TorchType type, const std::byte* from, bool swap) {
  switch (type) {
    case TorchType::f32:
      return static_cast<T>(load<float>(from, swap));
    case TorchType::f64:
      return static_cast<T>(load<double>(from, swap));
    case TorchType::f16:
      return static_cast<T>(to_float(Float16{load<std::uint16_t>(from, swap)}));
    case TorchType::bf16:
      return static_cast<T>(to_float(BFloat16{load<std::uint16_t>(from, swap)}));
    case TorchType::i64:
      return static_cast<T>(load<std::int64_t>(from, swap));
    case TorchType::i32:
      return static_cast<T>(load<std::int32_t>(from, swap));
    case TorchType::i16:
      return static_cast<T>(load<std::int16_t>(from, swap));
    case TorchType::i8:
      return static_cast<T>(load<std::int8_t>(from, swap));
    case TorchType::u8:
    case TorchType::boolean:
      return static_cast<T>(load<std::uint8_t>(from, swap));
  }
  return T{};
}

std::span<const std::uint8_t> as_u8(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

// Before 1.6 torch.save wrote pickles behind one another, the first one a magic number.
bool is_legacy(std::span<const std::byte> file) {
  constexpr unsigned char kMagic[] = {0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20};
  return file.size() >= sizeof kMagic && std::memcmp(file.data(), kMagic, sizeof kMagic) == 0;
}

bool holds_tensor(const Pickle& pickle, const PickleValue& dict) {
  for (std::size_t i = 1; i < dict.items.size(); i += 2)
    if (pickle.at(dict.items[i]).kind == Kind::tensor) return true;
  return false;
}

}  // namespace

std::string_view name_of(TorchType type) { return row_of(type).name; }

TorchFile::TorchFile(const Path& path)
    : TorchFile(path, read_file(path, std::numeric_limits<std::uint64_t>::max())) {}

TorchFile::TorchFile(const Path& path, std::vector<std::byte> bytes)
    : path_(path), bytes_(std::move(bytes)) {
  if (is_legacy(bytes_))
    fail("is in the form from before PyTorch 1.6",
         "load it with PyTorch and save its state_dict() again with torch.save");
  if (!is_zip(bytes_))
    fail("is no file of torch.save", "write it with torch.save(model.state_dict(), path)");
  archive_ = std::make_unique<const ZipArchive>(bytes_, printable(path.string(), 4096));
  read();
}

void TorchFile::fail(std::string_view wrong, std::string_view mend) const {
  throw Error(ErrorKind::input, printable(path_.string(), 4096), wrong, mend);
}

void TorchFile::read() {
  constexpr std::string_view kPickle = "/data.pkl";
  const ZipEntry* description = nullptr;
  for (const ZipEntry& entry : archive_->entries()) {
    const bool here =
        entry.name.ends_with(kPickle) && entry.name.find('/') == entry.name.size() - kPickle.size();
    if (here && description != nullptr) fail("holds two archives of torch.save");
    if (here) description = &entry;
  }
  if (description == nullptr)
    fail("is a ZIP archive without data.pkl", "name a file that torch.save wrote");
  folder_ = description->name.substr(0, description->name.size() - kPickle.size() + 1);
  if (archive_->find(folder_ + "constants.pkl") != nullptr)
    fail("is a TorchScript archive, which holds code",
         "save torch.jit.load(path).state_dict() with torch.save");
  if (const ZipEntry* order = archive_->find(folder_ + "byteorder"))
    big_endian_ = archive_->checked(*order).size() == 3;
  if (description->bytes.size() > kMostPickleBytes) fail("describes more than any network");
  const Pickle pickle(path_, as_u8(archive_->checked(*description)), TorchCalls());
  const PickleValue& dict = state_dict(pickle);
  std::set<std::string_view> names;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleValue& key = pickle.at(dict.items[i]);
    const std::string shown = "\"" + printable(key.bytes) + "\"";
    if (!key.is_string() || key.bytes.empty() || key.bytes.size() > kMostNameBytes ||
        !names.insert(key.bytes).second)
      fail("has a tensor whose name is no text, or there twice: " + shown);
    if (pickle.at(dict.items[i + 1]).kind != Kind::tensor)
      fail("has " + shown + " among its tensors, which is none",
           "save model.state_dict() with torch.save");
    tensors_.push_back(tensor_of(pickle, pickle.at(dict.items[i + 1]), std::string(key.bytes)));
  }
  take_prefix_off("_orig_mod.");
  take_prefix_off("module.");
  take_prefix_off("_orig_mod.");
}

const PickleValue& TorchFile::state_dict(const Pickle& pickle) const {
  const PickleValue& root = pickle.root();
  for (const std::string_view key : kStateDictKeys)
    if (const PickleValue* inner = pickle.find(root, key);
        inner != nullptr && inner->kind == Kind::dict && holds_tensor(pickle, *inner))
      return *inner;
  if (root.kind != Kind::dict || !holds_tensor(pickle, root))
    fail("holds no state dict", "save model.state_dict() with torch.save");
  return root;
}

TorchTensor TorchFile::tensor_of(const Pickle& pickle, const PickleValue& value,
                                 std::string name) const {
  const std::string called = "tensor \"" + printable(name) + "\" ";
  const PickleValue &storage = pickle.at(value.items[0]), &extents = pickle.at(value.items[1]),
                    &strides = pickle.at(value.items[2]);
  const std::string_view type_name = pickle.at(storage.items[0]).bytes;
  const auto* row = std::ranges::find(kTypes, type_name, &TypeRow::storage);
  if (row == std::end(kTypes)) fail(called + "has elements in a " + printable(type_name));
  TorchTensor tensor{.name = std::move(name), .type = row->type, .offset = value.integer};
  if (extents.items.size() > Shape::kMaxRank || strides.items.size() != extents.items.size())
    fail(called + "has " + std::to_string(extents.items.size()) + " dimensions");
  std::vector<std::int64_t> shape;
  std::int64_t count = 1;
  for (std::size_t i = 0; i < extents.items.size(); ++i) {
    const PickleValue &extent = pickle.at(extents.items[i]), &stride = pickle.at(strides.items[i]);
    if (extent.kind != Kind::integer || stride.kind != Kind::integer || extent.integer < 0 ||
        stride.integer < 0 || __builtin_mul_overflow(count, extent.integer, &count) ||
        count > kMostElements)
      fail(called + "has a shape that no tensor has");
    shape.push_back(extent.integer);
    // Of a single element no step is ever taken, whatever stands there.
    tensor.strides.push_back(extent.integer > 1 ? stride.integer : 0);
  }
  tensor.shape = Shape(shape);
  tensor.storage = archive_->find(folder_ + "data/" + std::string(storage.bytes));
  if (tensor.storage == nullptr) fail(called + "has no storage in the file");
  const std::size_t held = tensor.storage->bytes.size() / row->bytes;
  if (storage.integer < 0 || static_cast<std::uint64_t>(storage.integer) != held ||
      tensor.storage->bytes.size() % row->bytes != 0)
    fail(called + "has a storage of another size than it says");
  check_inside(tensor, storage.integer);
  return tensor;
}

// Offset and strides may name any element of the storage and none outside.
void TorchFile::check_inside(const TorchTensor& tensor, std::int64_t element_count) const {
  std::int64_t last = tensor.offset;
  bool fits = last >= 0 && last <= element_count;
  for (int i = 0; fits && i < tensor.shape.rank(); ++i) {
    std::int64_t reach = 0;
    if (tensor.shape[i] == 0) return;
    fits = !__builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[static_cast<std::size_t>(i)],
                                   &reach) &&
           !__builtin_add_overflow(last, reach, &last);
  }
  if (!fits || last >= element_count)
    fail("tensor \"" + printable(tensor.name) + "\" reaches behind its storage");
}

void TorchFile::take_prefix_off(std::string_view prefix) {
  if (!std::ranges::all_of(tensors_, [&](const TorchTensor& tensor) {
        return tensor.name.size() > prefix.size() && tensor.name.starts_with(prefix);
      }))
    return;
  for (TorchTensor& tensor : tensors_) tensor.name.erase(0, prefix.size());
}

const TorchTensor* TorchFile::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors_, name, &TorchTensor::name);
  return found == tensors_.end() ? nullptr : &*found;
}

template <class T>
std::vector<T> TorchFile::elements(const TorchTensor& tensor) const {
  const std::byte* bytes = archive_->checked(*tensor.storage).data();
  const std::size_t element_bytes = row_of(tensor.type).bytes;
  const std::int64_t count = tensor.shape.element_count();
  std::vector<T> values;
  values.reserve(static_cast<std::size_t>(count));
  std::array<std::int64_t, Shape::kMaxRank> index{};
  std::int64_t at = tensor.offset;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(
        load_as<T>(tensor.type, bytes + static_cast<std::size_t>(at) * element_bytes, big_endian_));
    for (int axis = tensor.shape.rank() - 1; axis >= 0; --axis) {
      const auto a = static_cast<std::size_t>(axis);
      at += tensor.strides[a];
      if (++index[a] < tensor.shape[axis]) break;
      at -= tensor.strides[a] * tensor.shape[axis];
      index[a] = 0;
    }
  }
  return values;
}

std::vector<float> TorchFile::floats(const TorchTensor& tensor) const {
  return elements<float>(tensor);
}

std::vector<std::int64_t> TorchFile::integers(const TorchTensor& tensor) const {
  KILN_CHECK(!is_floating(tensor.type));
  return elements<std::int64_t>(tensor);
}

}  // namespace kiln
