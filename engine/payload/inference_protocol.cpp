#include "engine/payload/inference_protocol.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/half.h"
#include "engine/payload/json_numbers.h"

namespace kiln::payload {
namespace {

using namespace detail;

constexpr std::string_view kThing = "inference request";

struct DataType {
  std::string_view name;
  std::size_t bytes;
  bool pixels;
};

constexpr std::array kDataTypes = {
    DataType{"UINT8", 1, true},  DataType{"UINT16", 2, true}, DataType{"UINT32", 4, true},
    DataType{"UINT64", 8, true}, DataType{"INT8", 1, true},   DataType{"INT16", 2, true},
    DataType{"INT32", 4, true},  DataType{"INT64", 8, true},  DataType{"FP16", 2, false},
    DataType{"FP32", 4, false},  DataType{"FP64", 8, false}};

// Marks a member as seen and refuses the second of the kind.
void once(const JsonReader& reader, bool& seen, std::string_view key) {
  if (std::exchange(seen, true)) reader.refuse("the member `" + std::string(key) + "` comes twice");
}

[[noreturn]] void refuse_member(const JsonReader& reader, std::string_view key,
                                std::string_view known) {
  reader.refuse("the member '" + printable(key, 40) + "' is not known here",
                "the protocol knows " + std::string(known));
}

// Takes a null, by which clients say that an optional member is absent.
bool take_null(JsonReader& reader) {
  if (reader.kind() != JsonKind::null) return false;
  reader.null();
  return true;
}

// What `parameters` say, wherever they stand.
struct Parameters {
  std::optional<std::int64_t> binary_data_size;
  std::optional<bool> binary_data, binary_data_output;
};

Parameters read_parameters(JsonReader& reader) {
  Parameters parameters;
  std::array<bool, 3> seen{};
  if (take_null(reader)) return parameters;
  reader.enter_object();
  for (std::string_view key; reader.next_member(key);) {
    if (key == "binary_data_size") {
      once(reader, seen[0], "binary_data_size");
      parameters.binary_data_size = reader.integer();
    } else if (key == "binary_data") {
      once(reader, seen[1], "binary_data");
      parameters.binary_data = reader.boolean();
    } else if (key == "binary_data_output") {
      once(reader, seen[2], "binary_data_output");
      parameters.binary_data_output = reader.boolean();
    } else if (key == "classification" || key.starts_with("shared_memory_")) {
      reader.refuse("neither classification nor shared memory is offered", "ask without them");
    } else {
      reader.skip();
    }
  }
  return parameters;
}

const DataType& read_data_type(JsonReader& reader) {
  reader.kind();
  const std::size_t at = reader.position();
  const std::string_view name = reader.string();
  const auto* const found = std::ranges::find(kDataTypes, name, &DataType::name);
  if (found == kDataTypes.end())
    reader.refuse_at(at, "the datatype '" + printable(name, 40) + "' is not taken",
                     "send UINT8 for pixels or FP32 for numbers that are normalised already");
  return *found;
}

std::vector<std::int64_t> read_shape(JsonReader& reader) {
  constexpr std::size_t kMost = 4;
  std::vector<std::int64_t> shape;
  reader.enter_array();
  while (reader.next_element()) {
    if (shape.size() == kMost) reader.refuse("a shape has more than 4 extents");
    shape.push_back(reader.integer());
  }
  return shape;
}

// An input as its JSON describes it.
struct Input {
  bool named = false;
  std::optional<std::vector<std::int64_t>> shape;
  std::optional<DataType> type;
  std::optional<std::size_t> data_at;
  std::optional<JsonNumbers> numbers;  // where shape and datatype stood before them
  std::optional<std::int64_t> binary_size;
};

void read_name(JsonReader& reader, std::string_view wanted, std::string_view kind) {
  reader.kind();
  const std::size_t at = reader.position();
  const std::string_view name = reader.string();
  if (name != wanted)
    reader.refuse_at(at, "the model has no " + std::string(kind) + " '" + printable(name, 40) + "'",
                     "its name is '" + std::string(wanted) + "'");
}

template <class ReadData>
Input read_input(JsonReader& reader, const ReadData& read_data) {
  Input input;
  bool parameters = false, shape = false, type = false, data = false;
  reader.enter_object();
  for (std::string_view key; reader.next_member(key);) {
    if (key == "name") {
      once(reader, input.named, "name");
      read_name(reader, kInputName, "input");
    } else if (key == "shape") {
      once(reader, shape, "shape");
      input.shape = read_shape(reader);
    } else if (key == "datatype") {
      once(reader, type, "datatype");
      input.type = read_data_type(reader);
    } else if (key == "parameters") {
      once(reader, parameters, "parameters");
      input.binary_size = read_parameters(reader).binary_data_size;
    } else if (key == "data") {
      once(reader, data, "data");
      if (reader.kind() != JsonKind::array) reader.refuse("`data` is no list of numbers");
      input.data_at = reader.position();
      if (input.shape && input.type)
        input.numbers = read_data(input);
      else
        reader.skip();
    } else {
      refuse_member(reader, key, "name, shape, datatype, parameters and data");
    }
  }
  return input;
}

template <class T>
double number_of(T number) {
  if constexpr (std::is_same_v<T, Float16>)
    return static_cast<double>(to_float(number));
  else
    return static_cast<double>(number);
}

template <class T>
T number_at(std::string_view raw, std::size_t i) {
  T number;
  std::memcpy(&number, raw.data() + i * sizeof number, sizeof number);
  return number;
}

template <class T>
std::vector<std::uint8_t> raw_pixels(std::string_view raw) {
  std::vector<std::uint8_t> pixels(raw.size() / sizeof(T));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const double number = number_of(number_at<T>(raw, i));
    if (!is_pixel(number))
      refuse(400, kThing, "number " + std::to_string(i) + " of the binary data is no pixel",
             "send 0 to 255, or FP32 for numbers that are normalised already");
    pixels[i] = static_cast<std::uint8_t>(number);
  }
  return pixels;
}

template <class T>
std::vector<float> raw_values(std::string_view raw) {
  std::vector<float> values(raw.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(number_of(number_at<T>(raw, i)));
  if (const auto at = first_nonfinite(values))
    refuse(400, kThing,
           "number " + std::to_string(*at) +
               " of the binary data is NaN, infinite or beyond the range of float32",
           "send finite numbers");
  return values;
}

JsonNumbers read_raw(const DataType& type, std::string_view raw) {
  JsonNumbers numbers;
  if (!type.pixels) {
    numbers.values = type.bytes == 2   ? raw_values<Float16>(raw)
                     : type.bytes == 4 ? raw_values<float>(raw)
                                       : raw_values<double>(raw);
    return numbers;
  }
  const bool negative = type.name.front() == 'I';
  switch (type.bytes) {
    case 1:
      numbers.bytes = negative ? raw_pixels<std::int8_t>(raw) : raw_pixels<std::uint8_t>(raw);
      break;
    case 2:
      numbers.bytes = negative ? raw_pixels<std::int16_t>(raw) : raw_pixels<std::uint16_t>(raw);
      break;
    case 4:
      numbers.bytes = negative ? raw_pixels<std::int32_t>(raw) : raw_pixels<std::uint32_t>(raw);
      break;
    default:
      numbers.bytes = negative ? raw_pixels<std::int64_t>(raw) : raw_pixels<std::uint64_t>(raw);
  }
  return numbers;
}

class RequestReader {
 public:
  RequestReader(std::string_view json, std::optional<std::string_view> raw,
                const PictureShape& shape, const DecodeLimits& limits)
      : reader_(json), raw_(raw), shape_(shape), limits_(limits) {}

  InferenceRequest read() {
    read_members();
    reader_.end();
    if (!input_) refuse(400, kThing, "has no member `inputs`", "send one input");
    check_complete();
    // An output's own wish comes before that of the request.
    request_.binary_output = output_binary_.value_or(binary_output_.value_or(false));
    request_.pictures = read_pictures();
    return std::move(request_);
  }

 private:
  void read_members() {
    std::array<bool, 4> seen{};
    reader_.enter_object();
    for (std::string_view key; reader_.next_member(key);) {
      if (key == "id") {
        once(reader_, seen[0], "id");
        if (!take_null(reader_)) request_.id = std::string(reader_.string());
      } else if (key == "parameters") {
        once(reader_, seen[1], "parameters");
        binary_output_ = read_parameters(reader_).binary_data_output;
      } else if (key == "inputs") {
        once(reader_, seen[2], "inputs");
        read_inputs();
      } else if (key == "outputs") {
        once(reader_, seen[3], "outputs");
        read_outputs();
      } else {
        refuse_member(reader_, key, "id, parameters, inputs and outputs");
      }
    }
  }

  void read_inputs() {
    reader_.enter_array();
    while (reader_.next_element()) {
      if (input_) reader_.refuse("a second input; the model has one");
      input_ = read_input(reader_, [this](const Input& input) { return read_data(input); });
    }
    if (!input_) reader_.refuse("`inputs` is empty", "send one input");
  }

  void read_outputs() {
    if (take_null(reader_)) return;
    reader_.enter_array();
    for (bool any = false; reader_.next_element(); any = true) {
      if (any) reader_.refuse("a second output; the model has one");
      read_output();
    }
  }

  void read_output() {
    bool named = false, parameters = false;
    reader_.enter_object();
    for (std::string_view key; reader_.next_member(key);) {
      if (key == "name") {
        once(reader_, named, "name");
        read_name(reader_, kOutputName, "output");
      } else if (key == "parameters") {
        once(reader_, parameters, "parameters");
        output_binary_ = read_parameters(reader_).binary_data;
      } else {
        refuse_member(reader_, key, "name and parameters");
      }
    }
    if (!named) reader_.refuse("an output has no member `name`");
  }

  void check_complete() const {
    const auto need = [](bool there, std::string_view member) {
      if (!there) refuse(400, kThing, "the input has no member `" + std::string(member) + "`");
    };
    need(input_->named, "name");
    need(input_->shape.has_value(), "shape");
    need(input_->type.has_value(), "datatype");
    const bool binary = input_->binary_size.has_value();
    if (!binary) need(input_->data_at.has_value(), "data");
    if (binary && input_->data_at)
      refuse(400, kThing, "the input has both `data` and `binary_data_size`", "send one of them");
    if (binary && !raw_)
      refuse(400, kThing, "the header Inference-Header-Content-Length is missing",
             "say in it where the JSON ends and the binary data begins");
    if (!binary && raw_ && !raw_->empty())
      refuse(400, kThing, std::to_string(raw_->size()) + " bytes follow the JSON",
             "say `binary_data_size` in the input's parameters");
  }

  ArrayLayout layout_of(const Input& input) const {
    return array_layout(kThing, *input.shape, /*fortran_order=*/false, shape_, limits_);
  }

  Pictures read_pictures() {
    const ArrayLayout layout = layout_of(*input_);
    if (input_->binary_size) return arrange(read_binary(layout), layout, shape_);
    if (!input_->numbers) {
      reader_.go_back(*input_->data_at);
      input_->numbers = read_data(*input_);
    }
    return arrange(std::move(*input_->numbers), layout, shape_);
  }

  JsonNumbers read_binary(const ArrayLayout& layout) const {
    // Division, so that no product of sizes out of the request can overflow.
    const std::size_t picture = static_cast<std::size_t>(shape_.size()) * input_->type->bytes;
    const auto size = static_cast<std::int64_t>(raw_->size());
    if (*input_->binary_size != size)
      refuse(400, kThing,
             "`binary_data_size` is " + std::to_string(*input_->binary_size) + " and " +
                 std::to_string(size) + " bytes follow the JSON");
    if (raw_->size() % picture != 0 ||
        raw_->size() / picture != static_cast<std::size_t>(layout.count))
      refuse(400, kThing,
             std::to_string(size) + " bytes of binary data do not fit the shape " +
                 bracketed(*input_->shape) + " of " + std::string(input_->type->name));
    return read_raw(*input_->type, *raw_);
  }

  JsonNumbers read_data(const Input& input) {
    const std::size_t count = static_cast<std::size_t>(layout_of(input).count * shape_.size());
    JsonNumbers numbers = read_json_numbers(
        reader_, input.type->pixels ? JsonNumbersAre::integers : JsonNumbersAre::values,
        {.count = count,
         .too_many = "`data` holds more numbers than the shape " + bracketed(*input.shape),
         .status = 400});
    const bool flat = numbers.extents.size() == 1;
    if (flat ? numbers.extents[0] != static_cast<std::int64_t>(count)
             : numbers.extents != *input.shape)
      refuse(400, kThing,
             "`data` has the extents " + bracketed(numbers.extents) + ", `shape` says " +
                 bracketed(*input.shape),
             "send a flat list or lists as `shape` says");
    return numbers;
  }

  JsonReader reader_;
  const std::optional<std::string_view> raw_;
  const PictureShape shape_;
  const DecodeLimits limits_;
  InferenceRequest request_;
  std::optional<Input> input_;
  std::optional<bool> binary_output_, output_binary_;
};

}  // namespace

std::size_t parse_json_bytes(std::string_view header, std::size_t body_bytes) {
  constexpr std::string_view kHeader = "Inference-Header-Content-Length";
  std::size_t bytes = 0;
  const char* const behind = header.data() + header.size();
  const auto [end, error] = std::from_chars(header.data(), behind, bytes);
  if (header.empty() || end != behind || error == std::errc::invalid_argument)
    refuse(400, kHeader, "'" + printable(header, 40) + "' is no count of bytes", "send digits");
  if (error != std::errc() || bytes > body_bytes)
    refuse(400, kHeader, "is more than the " + std::to_string(body_bytes) + " bytes of the body",
           "send the length of the JSON at the body's beginning");
  return bytes;
}

InferenceRequest read_inference_request(std::string_view body,
                                        std::optional<std::size_t> json_bytes,
                                        const PictureShape& shape, const DecodeLimits& limits) {
  std::optional<std::string_view> raw;
  if (json_bytes) raw = body.substr(std::min(*json_bytes, body.size()));
  const std::string_view json = body.substr(0, json_bytes.value_or(body.size()));
  return RequestReader(json, raw, shape, limits).read();
}

}  // namespace kiln::payload
