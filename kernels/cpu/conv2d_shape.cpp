#include "kernels/include/conv2d_shape.h"

namespace kiln {

std::string to_string(const Conv2dShape& s) {
  const auto number = [](std::int64_t value) { return std::to_string(value); };
  std::string text = number(s.n) + "x" + number(s.h) + "x" + number(s.w) + "x" + number(s.c) +
                     " -> " + number(s.k) + ", " + number(s.r) + "x" + number(s.s);
  const auto pair = [&](const char* name, std::int64_t a, std::int64_t b, std::int64_t usual) {
    if (a != usual || b != usual)
      text += std::string(", ") + name + " " + number(a) + (a == b ? "" : "x" + number(b));
  };
  pair("stride", s.stride_h, s.stride_w, 1);
  pair("pad", s.pad_h, s.pad_w, 0);
  pair("dilation", s.dilation_h, s.dilation_w, 1);
  pair("groups", s.groups, s.groups, 1);
  return text;
}

}  // namespace kiln
