#include "engine/data/formats/pickle.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/data/formats/common.h"
#include "engine/data/formats/pickle_machine.h"

namespace kiln::formats {
namespace {

using Kind = PickleValue::Kind;

constexpr std::array<std::string_view, 10> kPermittedNames = {"numpy.ndarray",
                                                              "numpy.dtype",
                                                              "numpy.core.multiarray._reconstruct",
                                                              "numpy._core.multiarray._reconstruct",
                                                              "numpy.core.numeric._frombuffer",
                                                              "numpy._core.numeric._frombuffer",
                                                              "_codecs.encode",
                                                              "__builtin__.bytes",
                                                              "builtins.bytes",
                                                              "builtins.bytearray"};

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// UTF-8 of code points below 256 back to those bytes; false for anything else.
bool to_latin1(std::string_view utf8, std::string& out) {
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto lead = static_cast<std::uint8_t>(utf8[i]);
    if (lead < 0x80) {
      out += static_cast<char>(lead);
      continue;
    }
    if ((lead & 0xFC) != 0xC0 || i + 1 == utf8.size()) return false;
    const auto next = static_cast<std::uint8_t>(utf8[++i]);
    if ((next & 0xC0) != 0x80) return false;
    out += static_cast<char>((lead & 0x03) << 6 | (next & 0x3F));
  }
  return true;
}

}  // namespace

Pickle::Pickle(const Path& path, std::span<const std::uint8_t> input) {
  root_ = PickleMachine(path, input, *this).run();
}

const PickleValue* Pickle::find(const PickleValue& dict, std::string_view key) const {
  if (dict.kind != Kind::dict) return nullptr;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2)
    if (at(dict.items[i]).is_string() && at(dict.items[i]).bytes == key)
      return &at(dict.items[i + 1]);
  return nullptr;
}

void PickleMachine::fail(std::string_view wrong) const {
  refuse(path_, "is a damaged or foreign pickle: " + std::string(wrong) + " at byte " +
                    std::to_string(at_));
}

PickleId PickleMachine::add(PickleValue value) {
  if (pickle_.values_.size() >= Pickle::kMaxValues) fail("too many values");
  pickle_.values_.push_back(std::move(value));
  return static_cast<PickleId>(pickle_.values_.size() - 1);
}

std::string_view PickleMachine::keep(std::string text) {
  return pickle_.texts_.emplace_back(std::move(text));
}

PickleId PickleMachine::add_name(std::string_view module, std::string_view name) {
  const std::string full = std::string(module) + "." + std::string(name);
  if (std::find(kPermittedNames.begin(), kPermittedNames.end(), full) == kPermittedNames.end())
    refuse(path_, "asks to call \"" + printable(full) + "\", which kiln never does",
           "a data set needs no code; do not trust this file");
  return add({.kind = Kind::name, .bytes = keep(full)});
}

// The callables, carried out here: value(arguments).
PickleId PickleMachine::reduce(const PickleValue& callable, const PickleValue& arguments) {
  if (callable.kind != Kind::name || arguments.kind != Kind::tuple)
    fail("a call of a non-function");
  const std::string_view name = callable.bytes;
  const auto argument = [&](std::size_t i) -> const PickleValue& {
    if (i >= arguments.items.size()) fail("a call with too few arguments");
    return pickle_.at(arguments.items[i]);
  };
  if (ends_with(name, "._reconstruct")) return add({.kind = Kind::array});
  if (name == "numpy.dtype") {
    if (!argument(0).is_string()) fail("a dtype without a code");
    return add({.kind = Kind::dtype, .bytes = argument(0).bytes});
  }
  if (name == "_codecs.encode") {
    std::string latin1;
    if (argument(0).kind != Kind::text || argument(1).bytes != "latin1" ||
        !to_latin1(argument(0).bytes, latin1))
      fail("an encoding other than latin1");
    return add({.kind = Kind::bytes, .bytes = keep(std::move(latin1))});
  }
  if (ends_with(name, ".bytes") || ends_with(name, ".bytearray"))
    return add({.kind = Kind::bytes,
                .bytes = arguments.items.empty() ? std::string_view() : argument(0).bytes});
  if (ends_with(name, "._frombuffer"))
    return add(array_of(argument(2), argument(1), argument(0), argument(3).bytes == "F"));
  fail("a call of " + std::string(name));
}

PickleValue PickleMachine::array_of(const PickleValue& extents, const PickleValue& dtype,
                                    const PickleValue& content, bool fortran) const {
  if (extents.kind != Kind::tuple || dtype.kind != Kind::dtype || !content.is_string() ||
      extents.items.size() > 8)
    fail("an array of an unknown form");
  if (dtype.bytes != "u1" && dtype.bytes != "|u1")
    fail("an array of \"" + printable(dtype.bytes) + "\" where bytes (u1) are expected");
  std::uint64_t count = 1;
  for (const PickleId id : extents.items) {
    const PickleValue& extent = pickle_.at(id);
    if (extent.kind != Kind::integer || extent.integer < 0 || extent.integer > (1ll << 31) ||
        (count *= static_cast<std::uint64_t>(extent.integer)) > (std::uint64_t{1} << 31))
      fail("an array too large");
  }
  if (count != content.bytes.size()) fail("an array whose content has another size");
  return {.kind = Kind::array,
          .integer = fortran ? 1 : 0,
          .bytes = content.bytes,
          .items = extents.items};
}

// __setstate__ of the two NumPy types.
void PickleMachine::build(PickleId target, const PickleValue& state) {
  const Kind kind = pickle_.at(target).kind;
  if (kind == Kind::dtype) return;  // byte order and fields; one-byte numbers have neither
  if (kind != Kind::array || state.kind != Kind::tuple || state.items.size() != 5)
    fail("a state for something that has none");
  const auto part = [&](std::size_t i) -> const PickleValue& { return pickle_.at(state.items[i]); };
  PickleValue array = array_of(part(1), part(2), part(4), part(3).integer != 0);
  pickle_.values_[target] = std::move(array);
}

}  // namespace kiln::formats
