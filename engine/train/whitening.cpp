#include "engine/train/whitening.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "engine/core/planned_buffer.h"
#include "engine/core/transfer.h"
#include "engine/train/evaluator.h"
#include "engine/train/input_scale.h"

namespace kiln {
namespace {

// Sums are cut into pieces of so many pictures, which are added in order: no thread count changes
// them.
constexpr std::int64_t kPicturesPerPiece = 64;
// A sweep of rotations about squares what is left beside the diagonal; 12 x 12 needs six.
constexpr int kMostSweeps = 60;

// Adds the products of the numbers of every window of one picture [H, W, C], on and above the
// diagonal.
void add_windows(const float* picture, const Shape& shape, std::int64_t kernel_h,
                 std::int64_t kernel_w, std::vector<double>& window, std::vector<double>& sums) {
  const std::int64_t width = shape[2], channels = shape[3], run = kernel_w * channels;
  const std::size_t n = window.size();
  for (std::int64_t y = 0; y + kernel_h <= shape[1]; ++y)
    for (std::int64_t x = 0; x + kernel_w <= width; ++x) {
      for (std::int64_t r = 0; r < kernel_h; ++r)
        std::copy_n(picture + ((y + r) * width + x) * channels, run, window.data() + r * run);
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = i; j < n; ++j) sums[i * n + j] += window[i] * window[j];
    }
}

// One rotation in the plane of p and q that makes matrix[p][q] zero (Golub, Van Loan, "Matrix
// computations", 8.5).
void rotate(std::vector<double>& matrix, std::vector<double>& vectors, std::size_t n, std::size_t p,
            std::size_t q) {
  const double beside = matrix[p * n + q];
  if (beside == 0) return;
  const double tau = (matrix[q * n + q] - matrix[p * n + p]) / (2 * beside);
  const double t = (tau >= 0 ? 1.0 : -1.0) / (std::fabs(tau) + std::sqrt(1 + tau * tau));
  const double cosine = 1 / std::sqrt(1 + t * t), sine = t * cosine;
  const auto turn = [&](double& a, double& b) {
    const double old = a;
    a = cosine * old - sine * b;
    b = sine * old + cosine * b;
  };
  for (std::size_t k = 0; k < n; ++k) turn(matrix[k * n + p], matrix[k * n + q]);
  for (std::size_t k = 0; k < n; ++k) turn(matrix[p * n + k], matrix[q * n + k]);
  for (std::size_t k = 0; k < n; ++k) turn(vectors[p * n + k], vectors[q * n + k]);
}

double beside_diagonal(const std::vector<double>& matrix, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      if (i != j) sum += matrix[i * n + j] * matrix[i * n + j];
  return sum;
}

void make_largest_positive(std::span<double> vector) {
  const double largest =
      *std::ranges::max_element(vector, {}, [](double value) { return std::fabs(value); });
  if (largest < 0)
    for (double& value : vector) value = -value;
}

// Bytes to f32 as training sees them, on the host whatever trains.
std::vector<float> normalised(Context& host, const Dataset& train, std::int64_t count,
                              const Normalisation& normalisation) {
  const DatasetInfo& info = train.info();
  const Shape shape{count, info.height, info.width, info.channels};
  std::vector<float> pictures(static_cast<std::size_t>(shape.element_count()));
  NormalizeImageArgs args{.x = Tensor(train.images().first(pictures.size()), shape),
                          .y = Tensor(std::span(pictures), shape)};
  set_input_scale(args, normalisation);
  normalize_image(host, args);
  return pictures;
}

}  // namespace

bool wants_whitening(const ModelSpec& spec) {
  return !spec.layers.empty() && spec.layers.front().initialisation == Initialisation::whitening;
}

std::vector<double> second_moments(ThreadPool& pool, const Tensor& pictures, std::int64_t kernel_h,
                                   std::int64_t kernel_w) {
  const Shape& shape = pictures.shape();
  const auto n = static_cast<std::size_t>(kernel_h * kernel_w * shape[3]);
  const std::int64_t pieces = (shape[0] + kPicturesPerPiece - 1) / kPicturesPerPiece;
  std::vector<std::vector<double>> sums(static_cast<std::size_t>(pieces),
                                        std::vector<double>(n * n, 0.0));
  pool.parallel_for(pieces, [&](std::int64_t piece) {
    std::vector<double> window(n);
    const std::int64_t end = std::min((piece + 1) * kPicturesPerPiece, shape[0]);
    for (std::int64_t i = piece * kPicturesPerPiece; i < end; ++i)
      add_windows(pictures.data<const float>() + i * shape[1] * shape[2] * shape[3], shape,
                  kernel_h, kernel_w, window, sums[static_cast<std::size_t>(piece)]);
  });
  std::vector<double> total(n * n, 0.0);
  for (const auto& part : sums)
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += part[i];
  const auto windows =
      static_cast<double>(shape[0] * (shape[1] - kernel_h + 1) * (shape[2] - kernel_w + 1));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i; j < n; ++j)
      total[j * n + i] = total[i * n + j] = total[i * n + j] / windows;
  return total;
}

Eigen symmetric_eigen(std::vector<double> matrix, std::size_t n) {
  std::vector<double> vectors(n * n, 0.0);
  double all = 0;
  for (std::size_t i = 0; i < n; ++i) vectors[i * n + i] = 1;
  for (const double value : matrix) all += value * value;
  for (int sweep = 0; sweep < kMostSweeps && beside_diagonal(matrix, n) > 1e-32 * all; ++sweep)
    for (std::size_t p = 0; p < n; ++p)
      for (std::size_t q = p + 1; q < n; ++q) rotate(matrix, vectors, n, p, q);
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return matrix[i * n + i]; });
  Eigen eigen;
  for (const std::size_t i : order) {
    eigen.values.push_back(matrix[i * n + i]);
    eigen.vectors.insert(eigen.vectors.end(), vectors.begin() + static_cast<std::ptrdiff_t>(i * n),
                         vectors.begin() + static_cast<std::ptrdiff_t>((i + 1) * n));
  }
  return eigen;
}

void whiten(const ModelSpec& spec, const Dataset& train, const Normalisation& normalisation,
            Context& context, ParameterStore& parameters) {
  check_fit(spec, train);
  const LayerSpec& layer = spec.layers.front();
  Context host(Device{}, context.pool(), context.log(), context.deterministic());
  const std::int64_t count = std::min(train.size(), kWhiteningPictures);
  std::vector<float> pictures = normalised(host, train, count, normalisation);
  const Tensor view(std::span<const float>(pictures),
                    {count, train.info().height, train.info().width, train.info().channels});
  const auto n = static_cast<std::size_t>(layer.out_features / 2);
  Eigen eigen =
      symmetric_eigen(second_moments(host.pool(), view, layer.kernel_h, layer.kernel_w), n);
  const Parameter& weight = parameters.find(layer.name + ".weight");
  KILN_CHECK(weight.shape.element_count() == static_cast<std::int64_t>(2 * n * n));
  visit_float(weight.value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> filters(2 * n * n);
    for (std::size_t i = 0; i < n; ++i) {
      const std::span<double> vector = std::span(eigen.vectors).subspan(i * n, n);
      make_largest_positive(vector);
      const double scale = 1 / std::sqrt(eigen.values[i] + kWhiteningEpsilon);
      for (std::size_t j = 0; j < n; ++j) {
        filters[i * n + j] = static_cast<T>(vector[j] * scale);
        filters[(n + i) * n + j] = -filters[i * n + j];
      }
    }
    set_elements<T>(weight.value, filters);
  });
}

}  // namespace kiln
