#include "kernels/cudnn/conv_problem.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string_view>

namespace kiln::cudnn {
namespace {

std::string joined(std::initializer_list<std::int64_t> extents) {
  std::string text;
  for (const std::int64_t extent : extents) {
    if (!text.empty()) text += 'x';
    text += std::to_string(extent);
  }
  return text;
}

}  // namespace

std::string key_of(const ConvProblem& problem) {
  constexpr std::array<std::string_view, 3> kPasses{"forward", "dx", "dw"};
  constexpr std::array<std::string_view, 4> kEpilogues{"", "+bias", "+bias_relu", "+relu"};
  const Conv2dShape& s = problem.shape;
  std::string key(kPasses.at(static_cast<std::size_t>(problem.pass)));
  key += kEpilogues.at(static_cast<std::size_t>(problem.epilogue));
  key += "," + std::string(name_of(problem.dtype)) + "," + std::string(name_of(problem.result));
  key += problem.math == FloatMath::tf32 ? ",tf32," : ",fp32,";
  key += joined({s.n, s.h, s.w, s.c}) + "," + joined({s.k, s.r, s.s});
  key += ",s" + joined({s.stride_h, s.stride_w}) + ",p" + joined({s.pad_h, s.pad_w});
  key += ",d" + joined({s.dilation_h, s.dilation_w}) + ",g" + std::to_string(s.groups);
  if (problem.deterministic) key += ",deterministic";
  return key;
}

std::size_t added_gradient_bytes(const Conv2dProblem& problem) {
  std::int64_t count = 0;
  if (problem.dx == GradWrite::accumulate) count = problem.shape.input().element_count();
  if (problem.accumulate_parameters)
    count = std::max(count, problem.shape.weights().element_count());
  return static_cast<std::size_t>(count) * size_of(problem.dtype);
}

}  // namespace kiln::cudnn
