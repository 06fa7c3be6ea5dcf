// PickleReader: reads the data in a Python pickle (protocols 0 to 5) and executes nothing.
//
// A pickle is a program for a small stack machine. This machine knows only the instructions that
// build data: numbers, texts, bytes, tuples, lists, dictionaries, and one call, NumPy's array of
// bytes, which it carries out itself. Any other name (GLOBAL, STACK_GLOBAL), any other call and any
// other instruction is refused by name. Values live in one arena and point into the input, so
// neither depth nor cycles nor size can exhaust the stack or the memory: at most a few values per
// input byte, and at most kMaxValues.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/file.h"

namespace kiln::formats {

using PickleId = std::uint32_t;

struct PickleValue {
  enum class Kind {
    none,
    boolean,
    integer,
    real,
    text,   // str: `bytes` is UTF-8
    bytes,  // bytes, bytearray, or a Python 2 str
    tuple,  // `items`
    list,   // `items`
    dict,   // `items`: key, value, key, value, ...
    name,   // a permitted global; `bytes` is "module.name"
    dtype,  // numpy.dtype; `bytes` is its code, such as "u1"
    array,  // numpy.ndarray of bytes: `bytes` the content, `items` its extents
  };
  Kind kind = Kind::none;
  std::int64_t integer = 0;  // boolean, integer; array: 1 when in Fortran order
  std::string_view bytes = {};
  std::vector<PickleId> items = {};

  bool is_string() const { return kind == Kind::text || kind == Kind::bytes; }
};

class Pickle {
 public:
  static constexpr std::size_t kMaxValues = 1 << 20;

  // Parses `input`, which must outlive the Pickle. Throws Error (input) naming `path`.
  Pickle(const Path& path, std::span<const std::uint8_t> input);

  const PickleValue& root() const { return at(root_); }
  const PickleValue& at(PickleId id) const { return values_[id]; }
  // The value under a text or bytes key of a dictionary; nullptr when absent.
  const PickleValue* find(const PickleValue& dict, std::string_view key) const;

 private:
  friend class PickleMachine;
  std::deque<PickleValue> values_;  // references stay good while it grows
  std::deque<std::string> texts_;   // what had to be unescaped or re-encoded
  PickleId root_ = 0;
};

}  // namespace kiln::formats
