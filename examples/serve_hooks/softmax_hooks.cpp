// Hooks that are built in: replies are probabilities, at a temperature, in the place of the
// network's own numbers.
//
//   cmake --preset release -DKILN_SERVE_HOOKS=$PWD/examples/serve_hooks/softmax_hooks.cpp
#include <algorithm>
#include <cmath>

#include "engine/serve/built_in_hooks.h"

namespace kiln {
namespace {

// p_k = exp(x_k / T) / sum_j exp(x_j / T), the largest x taken off first.
void softmax_at(float temperature, std::span<const float> x, std::span<float> p) {
  const float largest = *std::ranges::max_element(x);
  float sum = 0;
  for (std::size_t k = 0; k < x.size(); ++k) sum += p[k] = std::exp((x[k] - largest) / temperature);
  for (float& value : p) value /= sum;
}

class SoftmaxHooks final : public serve::HooksOf<SoftmaxHooks> {
 public:
  explicit SoftmaxHooks(float temperature) : temperature_(temperature) {}

  std::span<const float> predict_fn(infer::Session& session, std::int64_t count,
                                    std::vector<float>& own) const override {
    session.run(count);
    const std::span<const float> x = session.outputs(0, count);
    const auto columns = static_cast<std::size_t>(session.output_size());
    own.resize(x.size());
    for (std::size_t row = 0; row < x.size(); row += columns)
      softmax_at(temperature_, x.subspan(row, columns), std::span(own).subspan(row, columns));
    return own;
  }

 private:
  const float temperature_;
};

}  // namespace

std::shared_ptr<const serve::Hooks> built_in_hooks() {
  constexpr float kTemperature = 2;
  return std::make_shared<const SoftmaxHooks>(kTemperature);
}

}  // namespace kiln
