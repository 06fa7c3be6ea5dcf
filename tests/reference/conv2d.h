// The oracle of conv2d and conv2d_grad: the definition, in double, one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/include/activation.h"
#include "kernels/include/conv2d_shape.h"

namespace kiln::reference {

// Calls f(x, w, y) with the three offsets of every product of the convolution; padding has none.
template <class F>
void for_each_conv2d_product(const Conv2dShape& s, const F& f) {
  const std::int64_t group_c = s.c / s.groups, group_k = s.k / s.groups;
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t p = 0; p < s.p(); ++p)
      for (std::int64_t q = 0; q < s.q(); ++q)
        for (std::int64_t k = 0; k < s.k; ++k)
          for (std::int64_t r = 0; r < s.r; ++r)
            for (std::int64_t u = 0; u < s.s; ++u)
              for (std::int64_t c = 0; c < group_c; ++c) {
                const std::int64_t h = p * s.stride_h - s.pad_h + r * s.dilation_h;
                const std::int64_t w = q * s.stride_w - s.pad_w + u * s.dilation_w;
                if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
                f(((n * s.h + h) * s.w + w) * s.c + k / group_k * group_c + c,
                  ((k * s.r + r) * s.s + u) * group_c + c, ((n * s.p() + p) * s.q() + q) * s.k + k);
              }
}

// An empty `bias` counts as zeros.
inline std::vector<double> conv2d(const Conv2dShape& s, const std::vector<double>& x,
                                  const std::vector<double>& w, const std::vector<double>& bias,
                                  Activation activation) {
  std::vector<double> y(static_cast<std::size_t>(s.output().element_count()), 0.0);
  for (std::size_t i = 0; i < y.size() && !bias.empty(); ++i)
    y[i] = bias[i % static_cast<std::size_t>(s.k)];
  for_each_conv2d_product(s, [&](std::int64_t i, std::int64_t j, std::int64_t at) {
    y[static_cast<std::size_t>(at)] +=
        x[static_cast<std::size_t>(i)] * w[static_cast<std::size_t>(j)];
  });
  if (activation == Activation::relu)
    for (double& value : y)
      if (value < 0) value = 0;
  return y;
}

struct Conv2dGradients {
  std::vector<double> dx, dw, dbias;
};

inline Conv2dGradients conv2d_grad(const Conv2dShape& s, const std::vector<double>& x,
                                   const std::vector<double>& w, const std::vector<double>& dy) {
  Conv2dGradients g;
  g.dx.assign(x.size(), 0.0);
  g.dw.assign(w.size(), 0.0);
  g.dbias.assign(static_cast<std::size_t>(s.k), 0.0);
  for_each_conv2d_product(s, [&](std::int64_t i, std::int64_t j, std::int64_t at) {
    const auto a = static_cast<std::size_t>(i), b = static_cast<std::size_t>(j);
    g.dx[a] += dy[static_cast<std::size_t>(at)] * w[b];
    g.dw[b] += dy[static_cast<std::size_t>(at)] * x[a];
  });
  for (std::size_t i = 0; i < dy.size(); ++i) g.dbias[i % g.dbias.size()] += dy[i];
  return g;
}

}  // namespace kiln::reference
