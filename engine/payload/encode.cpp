#include "engine/payload/encode.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "engine/core/check.h"
#include "engine/payload/media_type.h"

namespace kiln::payload {
namespace {

static_assert(std::endian::native == std::endian::little, "npy is written as memory holds it");

constexpr std::array<ReplyFormat, 3> kFormats = {ReplyFormat::json, ReplyFormat::npy,
                                                 ReplyFormat::csv};

bool names(const MediaType& element, ReplyFormat format) {
  const std::string_view name = ReplyType{.format = format}.content_type();
  const std::size_t slash = name.find('/');
  if (element.type == "*") return element.subtype == "*";
  const std::string_view type = name.substr(0, slash);
  return element.subtype == "*" ? element.is(type) : element.is(type, name.substr(slash + 1));
}

std::size_t place_of(ReplyFormat format) {
  return static_cast<std::size_t>(std::ranges::find(kFormats, format) - kFormats.begin());
}

bool is_range(const MediaType& element) { return element.subtype == "*"; }

// The formats that an element with `q=0`, unless it is `*/*`, strikes out of the ranges.
std::array<bool, kFormats.size()> struck_formats(const std::vector<MediaType>& list) {
  std::array<bool, kFormats.size()> struck{};
  for (const MediaType& element : list) {
    if (element.quality > 0 || element.type == "*") continue;
    for (std::size_t i = 0; i < kFormats.size(); ++i) struck[i] |= names(element, kFormats[i]);
  }
  return struck;
}

// nullopt where the element is not written here.
std::optional<ReplyType> reply_type(const MediaType& element,
                                    const std::array<bool, kFormats.size()>& struck,
                                    const ReplyType& any) {
  if (element.type == "*" && element.subtype == "*" && !struck[place_of(any.format)]) return any;
  for (std::size_t i = 0; i < kFormats.size(); ++i) {
    if (!names(element, kFormats[i]) || (is_range(element) && struck[i])) continue;
    const auto dtype = element.parameter("dtype").value_or("float64");
    if (kFormats[i] != ReplyFormat::npy) return ReplyType{.format = kFormats[i]};
    if (dtype == "float64" || dtype == "float32")
      return ReplyType{.format = kFormats[i], .single = dtype == "float32"};
  }
  return {};
}

// The digits of Python's repr(float): a point always, an exponent below 1e-4 and from 1e16 on.
void append_finite(std::string& out, double value) {
  std::array<char, 40> text;  // NOLINT(*-member-init): written before it is read
  const double magnitude = std::fabs(value);
  const bool plain = value == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size() - 2, value,
                    plain ? std::chars_format::fixed : std::chars_format::scientific);
  KILN_CHECK(error == std::errc());
  char* last = end;
  if (plain && std::find(text.data(), end, '.') == end) {
    *last++ = '.';
    *last++ = '0';
  }
  out.append(text.data(), last);
}

// JSON has no word for what is not finite: `null`, as JavaScript writes it.
void append_json(std::string& out, double value) {
  if (std::isfinite(value))
    append_finite(out, value);
  else
    out += "null";
}

void append_csv(std::string& out, double value) {
  if (std::isfinite(value))
    append_finite(out, value);
  else
    out += std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

template <class Append>
void append_row(std::string& out, std::span<const float> row, std::string_view comma,
                const Append& append) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (i > 0) out += comma;
    append(out, static_cast<double>(row[i]));
  }
}

std::string encode_json(std::span<const float> values, std::size_t rows, std::size_t columns,
                        bool predictions) {
  std::string out;
  out.reserve(values.size() * 24 + rows * 4 + 32);
  out += predictions ? "{\"predictions\": [" : "[";
  for (std::size_t row = 0; row < rows; ++row) {
    out += row > 0 ? ", [" : "[";
    append_row(out, values.subspan(row * columns, columns), ", ", append_json);
    out += ']';
  }
  return out += predictions ? "]}" : "]";
}

std::string encode_csv(std::span<const float> values, std::size_t rows, std::size_t columns) {
  std::string out;
  out.reserve(values.size() * 24 + rows);
  for (std::size_t row = 0; row < rows; ++row) {
    append_row(out, values.subspan(row * columns, columns), ",", append_csv);
    out += '\n';
  }
  return out;
}

// Version 1.0; the data begins at a multiple of 64, as numpy.save places it.
std::string npy_header(std::size_t rows, std::size_t columns, bool single, std::size_t data_bytes) {
  constexpr std::size_t kAlignment = 64, kPrefix = 10;
  std::string dict = std::string("{'descr': '<f") + (single ? '4' : '8') +
                     "', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
                     std::to_string(columns) + "), }";
  // NumPy leaves room for the first extent to grow to 21 digits, for files that are appended to.
  constexpr std::size_t kGrownDigits = 21;
  dict.append(kGrownDigits - std::to_string(rows).size(), ' ');
  dict.append(kAlignment - (kPrefix + dict.size() + 1) % kAlignment, ' ');
  dict += '\n';
  std::string out;
  out.reserve(kPrefix + dict.size() + data_bytes);
  out += std::string_view("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(dict.size() & 0xFF);
  out += static_cast<char>(dict.size() >> 8);
  return out += dict;
}

std::string encode_npy(std::span<const float> values, std::size_t rows, std::size_t columns,
                       bool single) {
  const std::size_t bytes = values.size() * (single ? sizeof(float) : sizeof(double));
  std::string out = npy_header(rows, columns, single, bytes);
  if (single) return out.append(reinterpret_cast<const char*>(values.data()), bytes);
  const std::size_t at = out.size();
  out.resize(at + bytes);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto wide = static_cast<double>(values[i]);
    std::memcpy(out.data() + at + i * sizeof wide, &wide, sizeof wide);
  }
  return out;
}

}  // namespace

std::string_view ReplyType::content_type() const {
  if (format == ReplyFormat::npy) return "application/x-npy";
  return format == ReplyFormat::csv ? "text/csv" : "application/json";
}

std::optional<ReplyType> choose_reply_type(std::string_view accept, const ReplyType& any) {
  if (accept.find_first_not_of(" \t,") == std::string_view::npos) return any;
  const std::vector<MediaType> list = parse_accept(accept);
  const auto struck = struck_formats(list);
  for (const MediaType& element : list)
    if (element.quality > 0)
      if (const auto type = reply_type(element, struck, any)) return type;
  return {};
}

std::string encode_outputs(std::span<const float> values, std::int64_t rows, std::int64_t columns,
                           const ReplyType& type, bool predictions) {
  KILN_CHECK(rows >= 0 && columns >= 0 &&
             static_cast<std::int64_t>(values.size()) == rows * columns);
  const auto row_count = static_cast<std::size_t>(rows);
  const auto column_count = static_cast<std::size_t>(columns);
  if (type.format == ReplyFormat::npy)
    return encode_npy(values, row_count, column_count, type.single);
  if (type.format == ReplyFormat::csv) return encode_csv(values, row_count, column_count);
  return encode_json(values, row_count, column_count, predictions);
}

}  // namespace kiln::payload
