// A strict reader of JSON (RFC 8259) that hands out one value at a time and keeps none.
//
//   JsonReader reader(body);
//   reader.enter_object();
//   while (reader.next_member(key))
//     if (key == "name") name = reader.string(); else reader.skip();
//   reader.end();
//
// Every fault is a Refusal with the status 400 that says what is wrong and at which byte, counted
// from 0. Nothing is allocated but for strings with escapes. A key that comes twice is the caller's
// to refuse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::payload {

enum class JsonKind { object, array, string, number, boolean, null };

class JsonReader {
 public:
  static constexpr int kDepthLimit = 8;  // lists and objects within one another

  explicit JsonReader(std::string_view text, int depth_limit = kDepthLimit)
      : text_(text), depth_limit_(depth_limit) {}

  // Of the value that comes next.
  JsonKind kind();

  void enter_object();
  // Goes to the value of the next member; false behind the last, the object is left then. The key
  // holds until the next string is read.
  bool next_member(std::string_view& key);
  void enter_array();
  bool next_element();

  // Without its quotes, escapes resolved; holds until the next string is read.
  std::string_view string();
  // As it is written, of JSON's grammar.
  std::string_view number();
  std::int64_t integer();
  bool boolean();
  void null();
  // Reads over a value, as strictly as if it were wanted.
  void skip();
  // Refuses anything behind the value.
  void end();

  std::size_t position() const { return at_; }
  // Back to the beginning of a value that was read over at the same depth.
  void go_back(std::size_t position) { at_ = position; }
  // What is not read yet, for who reads runs of numbers himself and then moves on behind a number.
  std::string_view rest() const { return text_.substr(at_); }
  void move_on(std::size_t bytes) { at_ += bytes; }

  // "JSON: byte 12: wrong; mend"
  [[noreturn]] void refuse(std::string_view wrong, std::string_view mend = {}) const {
    refuse_at(at_, wrong, mend);
  }
  [[noreturn]] void refuse_at(std::size_t position, std::string_view wrong,
                              std::string_view mend = {}) const;

 private:
  void skip_spaces();
  bool at_end() const { return at_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  bool take(char c);
  void expect_kind(JsonKind wanted);
  void enter(JsonKind wanted);
  // Goes to what follows within a list or object; false where `closer` follows.
  bool next(char closer);
  void take_word(std::string_view word);
  void take_digits();
  void take_string_part();
  void take_escape();
  unsigned take_hex4();
  void take_utf8();
  void skip_simple(JsonKind kind);

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0, depth_limit_;
  bool first_ = false;  // within a list or object of which nothing was read yet
  std::string unescaped_;
};

// What a number of JSON's grammar is worth, rounded to the nearest. Too small for the type is zero;
// nullopt for what is too large.
std::optional<float> json_float(std::string_view number);
std::optional<double> json_double(std::string_view number);

}  // namespace kiln::payload
