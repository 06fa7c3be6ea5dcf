#include "models/safetensors_header.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/core/error.h"

namespace kiln {
namespace {

using Json = nlohmann::json;

// Receives the parser's events. Nothing is built that the grammar does not name.
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(std::string_view thing) : thing_(thing) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool start_object(std::size_t) override {
    if (place_ == Place::start) return go(Place::top);
    if (place_ != Place::top) fail_here("holds an object where none belongs");
    if (key_ == kSafetensorsMetadataKey) {
      if (std::exchange(metadata_seen_, true)) fail("the key \"__metadata__\" is there twice");
      return go(Place::metadata);
    }
    header_.entries.emplace_back().name = key_;
    fields_ = {};
    return go(Place::tensor);
  }

  bool key(std::string& key) override {
    if (place_ == Place::top) key_ = checked_name(key);
    if (place_ == Place::metadata) metadata_key_ = key;
    if (place_ == Place::tensor) start_field(key);
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor && !(fields_.dtype && fields_.shape && fields_.offsets))
      fail_here("needs dtype, shape and data_offsets");
    return go(place_ == Place::top ? Place::start : Place::top);
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && field_ == "shape") return go(Place::shape);
    if (place_ == Place::tensor && field_ == "data_offsets") return go(Place::offsets);
    fail_here("holds an array where none belongs");
  }

  bool end_array() override {
    if (place_ == Place::offsets && offset_count_ != 2) fail_here("needs two data_offsets");
    return go(Place::tensor);
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) {
      std::vector<std::uint64_t>& shape = header_.entries.back().shape;
      if (shape.size() == Shape::kMaxRank)
        fail_here("has more than " + std::to_string(Shape::kMaxRank) + " extents");
      shape.push_back(value);
      return true;
    }
    if (place_ != Place::offsets) fail_here("holds a number where none belongs");
    if (offset_count_ == 2) fail_here("needs two data_offsets");
    (offset_count_ == 0 ? header_.entries.back().begin : header_.entries.back().end) = value;
    ++offset_count_;
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      if (!header_.metadata.emplace(metadata_key_, value).second)
        fail("the metadata key \"" + printable(metadata_key_) + "\" is there twice");
      return true;
    }
    if (place_ != Place::tensor || field_ != "dtype") fail_here("holds a text where none belongs");
    header_.entries.back().dtype = value;
    return true;
  }

  bool number_integer(number_integer_t) override { fail_here("holds a negative number"); }
  bool number_float(number_float_t, const std::string&) override {
    fail_here("holds a number that is not a whole number of 64 bits");
  }
  bool null() override { fail_here("holds null"); }
  bool boolean(bool) override { fail_here("holds true or false"); }
  bool binary(binary_t&) override { fail_here("holds binary data"); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail("its header is not JSON in UTF-8 at byte " + std::to_string(position));
  }

 private:
  enum class Place { start, top, metadata, tensor, shape, offsets };
  struct Fields {
    bool dtype = false, shape = false, offsets = false;
  };

  bool go(Place place) {
    place_ = place;
    return true;
  }

  const std::string& checked_name(const std::string& name) const {
    const bool control = std::any_of(name.begin(), name.end(), [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    if (name.empty() || control)
      fail("the tensor name \"" + printable(name) + "\" is empty or holds control characters");
    return name;
  }

  void start_field(const std::string& field) {
    bool* seen = field == "dtype"          ? &fields_.dtype
                 : field == "shape"        ? &fields_.shape
                 : field == "data_offsets" ? &fields_.offsets
                                           : nullptr;
    if (seen == nullptr) fail_here("has the unknown key \"" + printable(field) + "\"");
    if (std::exchange(*seen, true)) fail_here("has the key \"" + field + "\" twice");
    field_ = field;
    offset_count_ = 0;
  }

  [[noreturn]] void fail(const std::string& wrong) const {
    throw Error(ErrorKind::input, thing_, wrong, "the file is damaged or is not safetensors");
  }
  // Names the tensor that is being read, or the key of the metadata.
  [[noreturn]] void fail_here(const std::string& wrong) const {
    if (place_ == Place::start) fail("its header " + wrong);
    if (place_ == Place::metadata) fail("metadata \"" + printable(metadata_key_) + "\" " + wrong);
    fail("tensor \"" + printable(key_) + "\" " + wrong);
  }

  std::string_view thing_;
  SafetensorsHeader header_;
  Place place_ = Place::start;
  std::string key_;           // of the top object: a tensor's name
  std::string field_;         // of a tensor
  std::string metadata_key_;  // of __metadata__
  Fields fields_;
  int offset_count_ = 0;
  bool metadata_seen_ = false;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, std::string_view thing) {
  // The parser would skip a byte order mark or spaces in front; the format has neither.
  if (text.empty() || text.front() != '{')
    throw Error(ErrorKind::input, thing, "its header does not start with \"{\"",
                "the file is damaged or is not safetensors");
  HeaderReader reader(thing);
  Json::sax_parse(text.begin(), text.end(), &reader);
  return reader.take();
}

}  // namespace kiln
