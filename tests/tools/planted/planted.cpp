// Faults that tools/lint must report, each with the name of its check: tests/tools/lint_test.py.
// Most need to know a type or a function of the standard library.
#include "tests/tools/planted/planted.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include <vector>  // fault: readability-duplicate-include

using std::map;  // fault: misc-unused-using-decls

namespace planted {

struct lower_case {};  // fault: readability-identifier-naming

class Square : public Shape {
 public:
  virtual std::string name() const { return "square"; }  // fault: modernize-use-override
  int side = 0;

 private:
  int hidden = 0;  // fault: readability-identifier-naming
};

std::string after_move(std::string text) {
  std::vector<std::string> kept;
  kept.push_back(std::move(text));
  return text;  // fault: bugprone-use-after-move
}

bool is_empty(const std::vector<int>& values) {
  return values.size() == 0;  // fault: readability-container-size-empty
}

std::size_t copied(const std::vector<std::string>& words) {
  std::size_t total = 0;
  for (const std::string word : words) total += word.size();  // fault: performance-for-range-copy
  return total;
}

std::size_t by_value(const std::string text) {  // fault: performance-unnecessary-value-param
  return text.size();
}

Shape sliced(const Square& square) {
  return square;  // fault: cppcoreguidelines-slicing
}

int* null() {
  return 0;  // fault: modernize-use-nullptr
}

std::string again(const std::string& text) {
  return text.c_str();  // fault: readability-redundant-string-cstr
}

std::string negative() {
  return std::string("text", 400);  // fault: bugprone-string-constructor
}

void sorted(std::vector<std::vector<int>>& rows) {
  std::sort(rows.begin(), rows.end(),
            [](const std::vector<int>& left, const std::vector<int>& right) {
              return left.size() == 0 && !right.empty();  // fault: readability-container-size-empty
            });
}

template <typename T>
T halved(T value) {
  return static_cast<T>(value / 2) + sizeof(sizeof(T));  // fault: bugprone-sizeof-expression
}

#define PLANTED_DOUBLE(x) x * 2  // fault: bugprone-macro-parentheses

TEST(Planted, Body) {
  const std::unique_ptr<int> number = std::make_unique<int>(PLANTED_DOUBLE(1));
  const int same = *number.get();  // fault: readability-redundant-smartptr-get
  EXPECT_EQ(same, halved(4));
}

}  // namespace planted

namespace std {
template <>
struct hash<planted::Square> {
  size_t operator()(const planted::Square& square) const {
    string name = square.name();
    return hash<string>()(name.c_str());  // fault: readability-redundant-string-cstr
  }
};
}  // namespace std
