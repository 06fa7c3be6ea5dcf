// The instructions of the pickle machine (CPython's Lib/pickletools.py is their reference).
#include <algorithm>
#include <bit>
#include <charconv>

#include "engine/pickle/pickle_machine.h"

namespace kiln {
namespace {

using Kind = PickleValue::Kind;

std::string code_text(std::uint8_t code) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text = "0x";
  text += kHex[code >> 4];
  text += kHex[code & 15];
  if (code > 0x20 && code < 0x7f) text += std::string(" ('") + static_cast<char>(code) + "')";
  return text;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(std::uint32_t point, std::string& out) {
  const auto tail = [&](unsigned shift) {
    out += static_cast<char>(0x80 | ((point >> shift) & 0x3F));
  };
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xC0 | point >> 6);
    tail(0);
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0 | point >> 12);
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xF0 | (point >> 18 & 7));
    tail(12), tail(6), tail(0);
  }
}

}  // namespace

PickleId PickleMachine::run() {
  while (true) {
    const auto code = static_cast<std::uint8_t>(take(1)[0]);
    if (code == '.') {
      const PickleId root = pop();
      if (!stack_.empty()) fail("values left on the stack");
      return root;
    }
    if (!step_constant(code) && !step_string(code) && !step_container(code) && !step_memo(code) &&
        !step_call(code))
      fail("the instruction " + code_text(code) + ", which kiln does not carry out,");
  }
}

std::string_view PickleMachine::take(std::uint64_t count) {
  if (count > input_.size() - at_) fail("its end comes too early");
  const std::string_view bytes(reinterpret_cast<const char*>(input_.data()) + at_,
                               static_cast<std::size_t>(count));
  at_ += static_cast<std::size_t>(count);
  return bytes;
}

std::uint64_t PickleMachine::take_unsigned(int byte_count) {
  const std::string_view bytes = take(static_cast<std::uint64_t>(byte_count));
  std::uint64_t value = 0;
  for (int i = byte_count - 1; i >= 0; --i)
    value = value << 8 | static_cast<std::uint8_t>(bytes[static_cast<std::size_t>(i)]);
  return value;
}

std::string_view PickleMachine::take_line() {
  const auto begin = input_.begin() + static_cast<std::ptrdiff_t>(at_);
  const auto end = std::find(begin, input_.end(), static_cast<std::uint8_t>('\n'));
  const std::string_view line = take(static_cast<std::uint64_t>(end - begin));
  take(1);
  return line;
}

std::int64_t PickleMachine::number_of(std::string_view decimal) const {
  if (!decimal.empty() && decimal.back() == 'L') decimal.remove_suffix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(decimal.data(), decimal.data() + decimal.size(), value);
  if (error != std::errc() || end != decimal.data() + decimal.size()) fail("a bad number");
  return value;
}

std::int64_t PickleMachine::long_of(std::string_view little_endian) const {
  if (little_endian.size() > 8) fail("a number past 64 bits");
  std::uint64_t value = 0;
  for (std::size_t i = little_endian.size(); i > 0; --i)
    value = value << 8 | static_cast<std::uint8_t>(little_endian[i - 1]);
  const auto bits = static_cast<unsigned>(8 * little_endian.size());
  if (bits > 0 && bits < 64 && (value >> (bits - 1)) != 0) value |= ~std::uint64_t{0} << bits;
  return static_cast<std::int64_t>(value);
}

// A Python 2 string literal: 'text' with \xhh, \n, \r, \t, \\, \' and \".
std::string PickleMachine::unquoted(std::string_view literal) const {
  if (literal.size() < 2 || literal.front() != literal.back() ||
      (literal.front() != '\'' && literal.front() != '"'))
    fail("a string without quotes");
  literal = literal.substr(1, literal.size() - 2);
  std::string out;
  for (std::size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\') {
      out += literal[i];
      continue;
    }
    if (++i == literal.size()) fail("a string that ends in an escape");
    const char c = literal[i];
    if (c == 'x') {
      const int high = i + 2 < literal.size() ? hex_digit(literal[i + 1]) : -1;
      const int low = high >= 0 ? hex_digit(literal[i + 2]) : -1;
      if (low < 0) fail("a bad escape");
      out += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      out += c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
    }
  }
  return out;
}

// A text of protocol 0: Latin-1 with \\uXXXX and \\UXXXXXXXX, to UTF-8.
std::string PickleMachine::unescaped(std::string_view line) const {
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    std::uint32_t point = static_cast<std::uint8_t>(line[i]);
    const char kind = line[i] == '\\' && i + 1 < line.size() ? line[i + 1] : ' ';
    if (kind == 'u' || kind == 'U') {
      const std::size_t digits = kind == 'u' ? 4 : 8;
      if (i + 1 + digits >= line.size()) fail("a bad escape");
      point = 0;
      for (std::size_t d = 0; d < digits; ++d) {
        const int digit = hex_digit(line[i + 2 + d]);
        if (digit < 0 || point > 0x10FFFF) fail("a bad escape");
        point = point << 4 | static_cast<std::uint32_t>(digit);
      }
      i += 1 + digits;
    }
    append_utf8(point, out);
  }
  return out;
}

bool PickleMachine::step_constant(std::uint8_t code) {
  const auto integer = [this](std::int64_t value) {
    push({.kind = Kind::integer, .integer = value});
  };
  switch (code) {
    case 0x80:  // PROTO
      if (take_unsigned(1) > 5) fail("an unknown protocol");
      return true;
    case 0x95:  // FRAME: a length that only speeds up reading
      take_unsigned(8);
      return true;
    case 'N':
      push({.kind = Kind::none});
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      push({.kind = Kind::boolean, .integer = code == 0x88 ? 1 : 0});
      return true;
    case 'I': {  // INT, where 00 and 01 are the Booleans
      const std::string_view line = take_line();
      if (line == "00" || line == "01")
        push({.kind = Kind::boolean, .integer = line == "01" ? 1 : 0});
      else
        integer(number_of(line));
      return true;
    }
    case 'L':
      integer(number_of(take_line()));
      return true;
    case 'J':
      integer(static_cast<std::int32_t>(take_unsigned(4)));
      return true;
    case 'K':
      integer(static_cast<std::int64_t>(take_unsigned(1)));
      return true;
    case 'M':
      integer(static_cast<std::int64_t>(take_unsigned(2)));
      return true;
    case 0x8a:  // LONG1
      integer(long_of(take(take_unsigned(1))));
      return true;
    case 'G': {  // BINFLOAT, the one number in big-endian order
      const std::uint64_t bits = __builtin_bswap64(take_unsigned(8));
      push({.kind = Kind::real, .real = std::bit_cast<double>(bits)});
      return true;
    }
    default:
      return false;
  }
}

bool PickleMachine::step_string(std::uint8_t code) {
  const auto counted = [this](Kind kind, int count_bytes) {
    push({.kind = kind, .bytes = take(take_unsigned(count_bytes))});
    return true;
  };
  switch (code) {
    case 'S':
      push({.kind = Kind::bytes, .bytes = keep(unquoted(take_line()))});
      return true;
    case 'V':
      push({.kind = Kind::text, .bytes = keep(unescaped(take_line()))});
      return true;
    case 'T':
    case 'B':
      return counted(Kind::bytes, 4);
    case 'U':
    case 'C':
      return counted(Kind::bytes, 1);
    case 0x8e:  // BINBYTES8
    case 0x96:  // BYTEARRAY8
      return counted(Kind::bytes, 8);
    case 'X':
      return counted(Kind::text, 4);
    case 0x8c:  // SHORT_BINUNICODE
      return counted(Kind::text, 1);
    case 0x8d:  // BINUNICODE8
      return counted(Kind::text, 8);
    default:
      return false;
  }
}

PickleId PickleMachine::pop() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("an empty stack");
  const PickleId id = stack_.back();
  stack_.pop_back();
  return id;
}

PickleId PickleMachine::top() const {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("an empty stack");
  return stack_.back();
}

std::vector<PickleId> PickleMachine::pop_many(std::size_t count) {
  if (stack_.size() - (marks_.empty() ? 0 : marks_.back()) < count) fail("an empty stack");
  const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
  std::vector<PickleId> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  return items;
}

std::vector<PickleId> PickleMachine::pop_to_mark() {
  if (marks_.empty()) fail("a missing mark");
  std::vector<PickleId> items = pop_many(stack_.size() - marks_.back());
  marks_.pop_back();
  return items;
}

// Appends to the list or dictionary on top.
void PickleMachine::extend(Kind kind, const std::vector<PickleId>& items) {
  PickleValue& target = pickle_.values_[top()];
  if (target.kind != kind) fail("items for something that holds none");
  if (kind == Kind::dict && items.size() % 2 != 0) fail("a key without a value");
  target.items.insert(target.items.end(), items.begin(), items.end());
}

bool PickleMachine::step_container(std::uint8_t code) {
  switch (code) {
    case '(':
      if (marks_.size() > 1000) fail("too deep a nesting");
      marks_.push_back(stack_.size());
      return true;
    case '0':
      pop();
      return true;
    case '1':
      pop_to_mark();
      return true;
    case '}':
      push({.kind = Kind::dict});
      return true;
    case ']':
      push({.kind = Kind::list});
      return true;
    case ')':
      push({.kind = Kind::tuple});
      return true;
    case 'd':
    case 'l': {
      const Kind kind = code == 'd' ? Kind::dict : Kind::list;
      const std::vector<PickleId> items = pop_to_mark();
      push({.kind = kind});
      extend(kind, items);
      return true;
    }
    case 't':
      push({.kind = Kind::tuple, .items = pop_to_mark()});
      return true;
    case 0x85:  // TUPLE1
    case 0x86:
    case 0x87:
      push({.kind = Kind::tuple, .items = pop_many(code - 0x84u)});
      return true;
    case 's':
      extend(Kind::dict, pop_many(2));
      return true;
    case 'u':
      extend(Kind::dict, pop_to_mark());
      return true;
    case 'a':
      extend(Kind::list, pop_many(1));
      return true;
    case 'e':
      extend(Kind::list, pop_to_mark());
      return true;
    default:
      return false;
  }
}

void PickleMachine::remember(std::uint64_t slot) {
  if (memo_.size() >= Pickle::kMaxValues) fail("too many memories");
  memo_[slot] = top();
}

void PickleMachine::recall(std::uint64_t slot) {
  const auto found = memo_.find(slot);
  if (found == memo_.end()) fail("a memory that was never made");
  if (stack_.size() >= Pickle::kMaxValues) fail("too many values");
  push(found->second);
}

bool PickleMachine::step_memo(std::uint8_t code) {
  switch (code) {
    case 'p':
      remember(static_cast<std::uint64_t>(number_of(take_line())));
      return true;
    case 'q':
      remember(take_unsigned(1));
      return true;
    case 'r':
      remember(take_unsigned(4));
      return true;
    case 0x94:  // MEMOIZE
      remember(memo_.size());
      return true;
    case 'g':
      recall(static_cast<std::uint64_t>(number_of(take_line())));
      return true;
    case 'h':
      recall(take_unsigned(1));
      return true;
    case 'j':
      recall(take_unsigned(4));
      return true;
    default:
      return false;
  }
}

bool PickleMachine::step_call(std::uint8_t code) {
  switch (code) {
    case 'c': {
      const std::string_view module = take_line();
      push(add_name(module, take_line()));
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const PickleId name = pop(), module = pop();
      if (!at(name).is_string() || !at(module).is_string()) fail("a name that is no text");
      push(add_name(at(module).bytes, at(name).bytes));
      return true;
    }
    case 'R': {
      const PickleId arguments = pop(), callable = pop();
      push(reduce(at(callable), at(arguments)));
      return true;
    }
    case 'b': {
      const PickleId state = pop();
      calls_.build(*this, pickle_.values_[top()], at(state));
      return true;
    }
    case 'Q':  // BINPERSID
      push(calls_.persistent(*this, at(pop())));
      return true;
    default:
      return false;
  }
}

}  // namespace kiln
