// Oracle of muon_step for one matrix: momentum, the weight's norm, the polynomial. Double, one
// thread, straight from the definition.
#pragma once

#include <cmath>
#include <utility>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

struct MuonSettings {
  double lr = 0, momentum = 0;
  bool nesterov = false;
  int iterations = 3;
};

// a [m, k] times b [k, n]
inline Values matrix_product(const Values& a, const Values& b, std::size_t m, std::size_t k,
                             std::size_t n) {
  Values c(m * n, 0.0);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t l = 0; l < k; ++l)
      for (std::size_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + l] * b[l * n + j];
  return c;
}

inline Values turned_matrix(const Values& a, std::size_t rows, std::size_t columns) {
  Values t(a.size());
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) t[j * rows + i] = a[i * columns + j];
  return t;
}

inline double norm_of(const Values& a) {
  double sum = 0;
  for (const double value : a) sum += value * value;
  return std::sqrt(sum);
}

// Of u [rows, columns]; the polynomial works on the wide form.
inline Values orthogonalised(const Values& u, std::size_t rows, std::size_t columns,
                             int iterations) {
  const bool tall = rows > columns;
  Values x = tall ? turned_matrix(u, rows, columns) : u;
  const std::size_t r = tall ? columns : rows, c = tall ? rows : columns;
  const double norm = norm_of(x) + 1e-7;
  for (double& value : x) value /= norm;
  for (int i = 0; i < iterations; ++i) {
    const Values a = matrix_product(x, turned_matrix(x, r, c), r, c, r);
    Values b = matrix_product(a, a, r, r, r);
    for (std::size_t at = 0; at < b.size(); ++at) b[at] = -4.7750 * a[at] + 2.0315 * b[at];
    const Values bx = matrix_product(b, x, r, r, c);
    for (std::size_t at = 0; at < x.size(); ++at) x[at] = 3.4445 * x[at] + bx[at];
  }
  return tall ? turned_matrix(x, r, c) : x;
}

inline void muon(const MuonSettings& s, std::size_t rows, Values& w, const Values& grad,
                 Values& buffer) {
  Values u(w.size());
  for (std::size_t i = 0; i < w.size(); ++i) {
    buffer[i] = s.momentum * buffer[i] + grad[i];
    u[i] = s.nesterov ? grad[i] + s.momentum * buffer[i] : buffer[i];
  }
  const double to_w = std::sqrt(static_cast<double>(rows)) / norm_of(w);
  const Values x = orthogonalised(u, rows, w.size() / rows, s.iterations);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = w[i] * to_w - s.lr * x[i];
}

}  // namespace kiln::reference
