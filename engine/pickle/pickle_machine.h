// The stack machine behind pickle.h, as PickleCalls see it.
#pragma once

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/pickle/pickle.h"

namespace kiln {

class PickleMachine {
 public:
  PickleMachine(const Path& path, std::span<const std::uint8_t> input, const PickleCalls& calls,
                Pickle& pickle)
      : path_(path), input_(input), calls_(calls), pickle_(pickle) {}
  // Runs to STOP; returns the value on top.
  PickleId run();

  // Throws Error (input): the pickle is damaged or foreign.
  [[noreturn]] void fail(std::string_view wrong) const;
  const PickleValue& at(PickleId id) const { return pickle_.at(id); }
  // The item `i` of a tuple; fails when there are fewer.
  const PickleValue& item(const PickleValue& tuple, std::size_t i) const;
  // A home for text that does not stand in the input; the view lives as long as the Pickle.
  std::string_view keep(std::string text);

 private:
  // pickle_steps.cpp: reading instructions and their arguments.
  std::string_view take(std::uint64_t count);
  std::uint64_t take_unsigned(int byte_count);  // little-endian
  std::string_view take_line();
  std::int64_t number_of(std::string_view decimal) const;
  std::int64_t long_of(std::string_view little_endian) const;
  std::string unquoted(std::string_view literal) const;
  std::string unescaped(std::string_view line) const;
  bool step_constant(std::uint8_t code);
  bool step_string(std::uint8_t code);
  bool step_container(std::uint8_t code);
  bool step_memo(std::uint8_t code);
  bool step_call(std::uint8_t code);

  // The stack.
  void push(PickleId id) { stack_.push_back(id); }
  void push(PickleValue value) { stack_.push_back(add(std::move(value))); }
  PickleId pop();
  PickleId top() const;
  std::vector<PickleId> pop_to_mark();
  std::vector<PickleId> pop_many(std::size_t count);
  void extend(PickleValue::Kind kind, const std::vector<PickleId>& items);
  void remember(std::uint64_t slot);
  void recall(std::uint64_t slot);

  // pickle.cpp: values and calls.
  PickleId add(PickleValue value);
  PickleId add_name(std::string_view module, std::string_view name);
  PickleValue reduce(const PickleValue& callable, const PickleValue& arguments);

  Path path_;
  std::span<const std::uint8_t> input_;
  const PickleCalls& calls_;
  Pickle& pickle_;
  std::size_t at_ = 0;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;  // stack heights
  std::unordered_map<std::uint64_t, PickleId> memo_;
};

}  // namespace kiln
