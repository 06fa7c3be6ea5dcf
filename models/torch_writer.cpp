#include "models/torch_writer.h"

#include <bit>
#include <cstring>
#include <deque>

#include "engine/core/check.h"
#include "models/zip_writer.h"

namespace kiln {
namespace {

// A pickle of protocol 2, and the storages that its tensors name.
class TorchPickle {
 public:
  TorchPickle() { text_ = "\x80\x02"; }

  void none() { text_ += 'N'; }
  void boolean(bool value) { text_ += value ? '\x88' : '\x89'; }
  void integer(std::int64_t value) {
    if (value == static_cast<std::int32_t>(value)) {
      text_ += 'J';
      number(static_cast<std::int32_t>(value));
    } else {
      text_ += "\x8a\x08";
      number(value);
    }
  }
  void real(double value) {
    text_ += 'G';
    number(__builtin_bswap64(std::bit_cast<std::uint64_t>(value)));
  }
  void string(std::string_view value) {
    text_ += 'X';
    number(static_cast<std::uint32_t>(value.size()));
    text_ += value;
  }
  void begin_dict() { text_ += "}("; }
  void begin_ordered_dict() { text_ += "ccollections\nOrderedDict\n)R("; }
  void end_dict() { text_ += 'u'; }
  void begin_list() { text_ += "]("; }
  void end_list() { text_ += 'e'; }
  void begin_tuple() { text_ += '('; }
  void end_tuple() { text_ += 't'; }
  void tensor(const SafetensorsEntry& entry) {
    text_ += "ctorch._utils\n_rebuild_tensor_v2\n((";
    string("storage");
    text_ += entry.dtype == DType::i64 ? "ctorch\nLongStorage\n" : "ctorch\nFloatStorage\n";
    string(std::to_string(storages_.size()));
    string("cpu");
    integer(entry.shape.element_count());
    text_ += "tQ";
    integer(0);
    extents(entry.shape);
    text_ += "\x89";
    text_ += "ccollections\nOrderedDict\n)RtR";
    KILN_CHECK(entry.dtype == DType::f32 || entry.dtype == DType::i64);
    storages_.push_back(entry.bytes);
  }

  void write(const Path& path) {
    text_ += '.';
    ZipWriter zip;
    zip.add("archive/data.pkl", std::as_bytes(std::span(text_)));
    constexpr std::string_view kOrder = "little", kVersion = "3\n";
    zip.add("archive/byteorder", std::as_bytes(std::span(kOrder)));
    for (std::size_t i = 0; i < storages_.size(); ++i)
      zip.add("archive/data/" + std::to_string(i), storages_[i]);
    zip.add("archive/version", std::as_bytes(std::span(kVersion)));
    zip.write(path);
  }

 private:
  template <class T>
  void number(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  // Extents, then the strides of row-major order.
  void extents(const Shape& shape) {
    begin_tuple();
    for (const std::int64_t extent : shape.extents()) integer(extent);
    end_tuple();
    begin_tuple();
    for (int axis = 0; axis < shape.rank(); ++axis) {
      std::int64_t stride = 1;
      for (int inner = axis + 1; inner < shape.rank(); ++inner) stride *= shape[inner];
      integer(stride);
    }
    end_tuple();
  }

  std::string text_;
  std::vector<std::span<const std::byte>> storages_;
};

void add_weights(TorchPickle& pickle, std::span<const SafetensorsEntry> weights,
                 const std::string& prefix) {
  pickle.begin_ordered_dict();
  for (const SafetensorsEntry& entry : weights) {
    pickle.string(prefix + entry.name);
    pickle.tensor(entry);
  }
  pickle.end_dict();
}

void add_setting(TorchPickle& pickle, const TorchTraining::Setting& setting) {
  if (const auto* flag = std::get_if<bool>(&setting)) return pickle.boolean(*flag);
  if (const auto* value = std::get_if<double>(&setting)) return pickle.real(*value);
  const auto* pair = std::get_if<std::pair<double, double>>(&setting);
  if (pair == nullptr) return pickle.none();
  pickle.begin_tuple();
  pickle.real(pair->first);
  pickle.real(pair->second);
  pickle.end_tuple();
}

void add_optimizer(TorchPickle& pickle, const TorchTraining& training) {
  pickle.begin_dict();
  pickle.string("state");
  pickle.begin_dict();
  for (std::size_t i = 0; i < training.state.size(); ++i) {
    if (training.state[i].empty()) continue;
    pickle.integer(static_cast<std::int64_t>(i));
    pickle.begin_dict();
    for (const SafetensorsEntry& entry : training.state[i]) {
      pickle.string(entry.name);
      pickle.tensor(entry);
    }
    pickle.end_dict();
  }
  pickle.end_dict();
  pickle.string("param_groups");
  pickle.begin_list();
  pickle.begin_dict();
  for (const auto& [name, setting] : training.settings) {
    pickle.string(name);
    add_setting(pickle, setting);
  }
  pickle.string("params");
  pickle.begin_list();
  for (std::size_t i = 0; i < training.state.size(); ++i)
    pickle.integer(static_cast<std::int64_t>(i));
  pickle.end_list();
  pickle.end_dict();
  pickle.end_list();
  pickle.end_dict();
}

}  // namespace

void write_torch_weights(const Path& path, std::span<const SafetensorsEntry> weights,
                         const std::string& prefix) {
  TorchPickle pickle;
  add_weights(pickle, weights, prefix);
  pickle.write(path);
}

void write_torch_checkpoint(const Path& path, std::span<const SafetensorsEntry> weights,
                            const TorchTraining& training, const std::string& prefix) {
  const std::span<const float> loss(&training.loss, 1);
  TorchPickle pickle;
  pickle.begin_dict();
  pickle.string("epoch");
  pickle.integer(training.epoch);
  pickle.string("model_state_dict");
  add_weights(pickle, weights, prefix);
  pickle.string("optimizer_state_dict");
  add_optimizer(pickle, training);
  pickle.string("loss");
  pickle.tensor({"loss", DType::f32, Shape{}, std::as_bytes(loss)});
  pickle.end_dict();
  pickle.write(path);
}

}  // namespace kiln
