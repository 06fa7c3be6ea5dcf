#pragma once
// A header of ours with faults: tests/tools/lint_test.py.
#include <string>

namespace planted {

int answer() { return 42; }  // fault: misc-definitions-in-headers

struct Shape {
  virtual ~Shape() = default;
  virtual std::string name() const { return {}; }
  int sides = 0;
};

}  // namespace planted
