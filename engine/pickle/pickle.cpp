#include "engine/pickle/pickle.h"

#include <utility>

#include "engine/core/error.h"
#include "engine/pickle/pickle_machine.h"

namespace kiln {

using Kind = PickleValue::Kind;

Pickle::Pickle(const Path& path, std::span<const std::uint8_t> input, const PickleCalls& calls) {
  root_ = PickleMachine(path, input, calls, *this).run();
}

const PickleValue* Pickle::find(const PickleValue& dict, std::string_view key) const {
  if (dict.kind != Kind::dict) return nullptr;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2)
    if (at(dict.items[i]).is_string() && at(dict.items[i]).bytes == key)
      return &at(dict.items[i + 1]);
  return nullptr;
}

void PickleMachine::fail(std::string_view wrong) const {
  throw Error(
      ErrorKind::input, printable(path_.string(), 4096),
      "is a damaged or foreign pickle: " + std::string(wrong) + " at byte " + std::to_string(at_));
}

const PickleValue& PickleMachine::item(const PickleValue& tuple, std::size_t i) const {
  if (i >= tuple.items.size()) fail("a tuple with too few items");
  return at(tuple.items[i]);
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
  if (!calls_.permits(full))
    throw Error(ErrorKind::input, printable(path_.string(), 4096),
                "asks to call \"" + printable(full) + "\", which kiln never does", calls_.mend());
  return add({.kind = Kind::name, .bytes = keep(full)});
}

PickleValue PickleMachine::reduce(const PickleValue& callable, const PickleValue& arguments) {
  if (callable.kind != Kind::name || arguments.kind != Kind::tuple)
    fail("a call of a non-function");
  return calls_.call(*this, callable.bytes, arguments);
}

}  // namespace kiln
