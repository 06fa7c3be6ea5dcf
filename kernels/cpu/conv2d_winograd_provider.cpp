#include "kernels/cpu/conv2d_winograd_provider.h"

#include <algorithm>

#include "kernels/cpu/conv2d_problem.h"
#include "kernels/cpu/conv2d_winograd.h"
#include "kernels/cpu/isa.h"

namespace kiln::cpu {
namespace {

std::string name_algorithm() { return "winograd 4x4 " + std::string(name_of(isa())); }

class WinogradForward final : public Conv2dForward {
 public:
  explicit WinogradForward(const Conv2dProblem& problem)
      : problem_(problem), algorithm_(name_algorithm()) {}
  std::size_t scratch_bytes() const override {
    return winograd_scratch_bytes(problem_.shape, problem_.thread_count);
  }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dArgs& args) override {
    KILN_CHECK(args.shape == problem_.shape && args.x.dtype() == problem_.dtype);
    KILN_CHECK(args.packed.empty());
    check_context(problem_, context);
    check(args);
    winograd_f32(context, args);
  }

 private:
  Conv2dProblem problem_;
  std::string algorithm_;
};

class WinogradBackward final : public Conv2dBackward {
 public:
  explicit WinogradBackward(const Conv2dProblem& problem)
      : problem_(problem), algorithm_(name_algorithm()) {}
  std::size_t scratch_bytes() const override {
    const Conv2dShape& s = problem_.shape;
    const int threads = problem_.thread_count;
    const std::size_t dw = winograd_dw_scratch_bytes(s, threads, parts_of(problem_));
    return problem_.wants_dx() ? std::max(dw, winograd_dx_scratch_bytes(s, threads)) : dw;
  }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dGradArgs& args) override {
    KILN_CHECK(args.shape == problem_.shape && args.x.dtype() == problem_.dtype);
    KILN_CHECK(problem_.wants_dx() || !args.wants_dx());
    check_context(problem_, context);
    check(args);
    if (args.wants_dx()) winograd_dx_f32(context, args);
    winograd_dw_f32(context, args);
  }

 private:
  Conv2dProblem problem_;
  std::string algorithm_;
};

class WinogradProvider final : public Conv2dProvider {
 public:
  explicit WinogradProvider(CpuConv2dAlgorithm algorithm) : algorithm_(algorithm) {}
  std::string_view name() const override { return "own"; }
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) override {
    if (!uses_winograd(problem, algorithm_)) return nullptr;
    return std::make_unique<WinogradForward>(problem);
  }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) override {
    if (!uses_winograd(problem, algorithm_)) return nullptr;
    return std::make_unique<WinogradBackward>(problem);
  }

 private:
  CpuConv2dAlgorithm algorithm_;
};

}  // namespace

bool uses_winograd(const Conv2dProblem& problem, CpuConv2dAlgorithm algorithm) {
  const Conv2dShape& s = problem.shape;
  if (problem.dtype != DType::f32 || !winograd_takes(s)) return false;
  if (algorithm != CpuConv2dAlgorithm::automatic) return algorithm == CpuConv2dAlgorithm::winograd;
  // Few channels: the transforms cost more than the products that they save.
  constexpr std::int64_t kChannels = 16;
  // Few tiles: the transformed filters, four times the plain ones, are made and read for little.
  // Only the smallest pictures let that depend on their number: ranks and batches of other sizes
  // shall differ by the order of sums, not by the algorithm.
  constexpr std::int64_t kTiles = 24, kTilesOfPicture = 4;
  const std::int64_t of_picture = ((s.p() + 3) / 4) * ((s.q() + 3) / 4);
  const std::int64_t tiles = s.n * of_picture;
  const bool enough = of_picture >= kTilesOfPicture || tiles >= kTiles;
  const bool half_used = 2 * s.n * s.p() * s.q() >= 16 * tiles;
  return s.c >= kChannels && s.k >= kChannels && enough && half_used;
}

std::unique_ptr<Conv2dProvider> make_winograd_conv2d_provider(CpuConv2dAlgorithm algorithm) {
  return std::make_unique<WinogradProvider>(algorithm);
}

}  // namespace kiln::cpu
