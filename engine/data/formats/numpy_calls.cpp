#include "engine/data/formats/numpy_calls.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/core/error.h"
#include "engine/pickle/pickle_machine.h"

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

PickleValue array_of(const PickleMachine& machine, const PickleValue& extents,
                     const PickleValue& dtype, const PickleValue& content, bool fortran) {
  if (extents.kind != Kind::tuple || dtype.kind != Kind::dtype || !content.is_string() ||
      extents.items.size() > 8)
    machine.fail("an array of an unknown form");
  if (dtype.bytes != "u1" && dtype.bytes != "|u1")
    machine.fail("an array of \"" + printable(dtype.bytes) + "\" where bytes (u1) are expected");
  std::uint64_t count = 1;
  for (const PickleId id : extents.items) {
    const PickleValue& extent = machine.at(id);
    if (extent.kind != Kind::integer || extent.integer < 0 || extent.integer > (1ll << 31) ||
        (count *= static_cast<std::uint64_t>(extent.integer)) > (std::uint64_t{1} << 31))
      machine.fail("an array too large");
  }
  if (count != content.bytes.size()) machine.fail("an array whose content has another size");
  return {.kind = Kind::array,
          .integer = fortran ? 1 : 0,
          .bytes = content.bytes,
          .items = extents.items};
}

}  // namespace

bool NumpyCalls::permits(std::string_view name) const {
  return std::ranges::find(kPermittedNames, name) != kPermittedNames.end();
}

std::string_view NumpyCalls::mend() const {
  return "a data set needs no code; do not trust this file";
}

PickleValue NumpyCalls::call(PickleMachine& machine, std::string_view name,
                             const PickleValue& arguments) const {
  const auto argument = [&](std::size_t i) -> const PickleValue& {
    return machine.item(arguments, i);
  };
  if (name.ends_with("._reconstruct")) return {.kind = Kind::array};
  if (name == "numpy.dtype") {
    if (!argument(0).is_string()) machine.fail("a dtype without a code");
    return {.kind = Kind::dtype, .bytes = argument(0).bytes};
  }
  if (name == "_codecs.encode") {
    std::string latin1;
    if (argument(0).kind != Kind::text || argument(1).bytes != "latin1" ||
        !to_latin1(argument(0).bytes, latin1))
      machine.fail("an encoding other than latin1");
    return {.kind = Kind::bytes, .bytes = machine.keep(std::move(latin1))};
  }
  if (name.ends_with(".bytes") || name.ends_with(".bytearray"))
    return {.kind = Kind::bytes,
            .bytes = arguments.items.empty() ? std::string_view() : argument(0).bytes};
  if (name.ends_with("._frombuffer"))
    return array_of(machine, argument(2), argument(1), argument(0), argument(3).bytes == "F");
  machine.fail("a call of " + std::string(name));
}

// __setstate__ of the two NumPy types.
void NumpyCalls::build(PickleMachine& machine, PickleValue& target,
                       const PickleValue& state) const {
  if (target.kind == Kind::dtype) return;  // byte order and fields; one-byte numbers have neither
  if (target.kind != Kind::array || state.kind != Kind::tuple || state.items.size() != 5)
    machine.fail("a state for something that has none");
  const auto part = [&](std::size_t i) -> const PickleValue& { return machine.item(state, i); };
  target = array_of(machine, part(1), part(2), part(4), part(3).integer != 0);
}

PickleValue NumpyCalls::persistent(PickleMachine& machine, const PickleValue&) const {
  machine.fail("an object that is not in the file");
}

}  // namespace kiln::formats
