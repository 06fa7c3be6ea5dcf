// Pickle: the data in a Python pickle (protocols 0 to 5), read without executing anything.
//
// A pickle is a program for a small stack machine. This machine knows only the instructions that
// build data: numbers, texts, bytes, tuples, lists and dictionaries. Calls are carried out by the
// PickleCalls that the reader brings, which knows a few by name: NumPy's arrays for data sets,
// PyTorch's tensors for weights. Any other name (GLOBAL, STACK_GLOBAL), any other call and any
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

namespace kiln {

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
    // What calls make; their PickleCalls say what the fields are.
    dtype,    // numpy.dtype
    array,    // numpy.ndarray
    storage,  // torch: the elements of tensors
    tensor,   // torch.Tensor
  };
  Kind kind = Kind::none;
  std::int64_t integer = 0;  // boolean, integer
  double real = 0.0;
  std::string_view bytes = {};
  std::vector<PickleId> items = {};

  bool is_string() const { return kind == Kind::text || kind == Kind::bytes; }
};

class PickleMachine;

// The calls that one sort of pickle may ask for, carried out by kiln. Each function may refuse with
// machine.fail().
class PickleCalls {
 public:
  virtual ~PickleCalls() = default;
  virtual bool permits(std::string_view name) const = 0;
  // What a person can do about a file that asks for another name.
  virtual std::string_view mend() const = 0;
  // name(arguments); `arguments` is a tuple.
  virtual PickleValue call(PickleMachine& machine, std::string_view name,
                           const PickleValue& arguments) const = 0;
  // target.__setstate__(state).
  virtual void build(PickleMachine& machine, PickleValue& target,
                     const PickleValue& state) const = 0;
  // The object outside the pickle that `id` names.
  virtual PickleValue persistent(PickleMachine& machine, const PickleValue& id) const = 0;
};

class Pickle {
 public:
  static constexpr std::size_t kMaxValues = 1 << 20;

  // Parses `input`, which must outlive the Pickle. Throws Error (input) naming `path`.
  Pickle(const Path& path, std::span<const std::uint8_t> input, const PickleCalls& calls);

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

}  // namespace kiln
