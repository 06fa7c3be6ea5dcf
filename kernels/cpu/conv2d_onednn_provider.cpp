#include "kernels/cpu/conv2d_onednn_provider.h"

#include <algorithm>
#include <atomic>

#include "kernels/cpu/onednn_library.h"

namespace kiln::cpu {
namespace {

constexpr std::size_t whole_lines(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

std::int64_t first_image(std::int64_t piece, std::int64_t pieces, std::int64_t images) {
  return piece * images / pieces;
}

// A primitive per piece of the batch; pieces differ by at most one image.
std::vector<OnednnConv> make_pieces(const KilnOnednnTable& table, const Conv2dProblem& problem,
                                    KilnOnednnPass pass, std::int64_t pieces, std::string& why) {
  std::vector<OnednnConv> convs;
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    Conv2dShape shape = problem.shape;
    shape.n = first_image(piece + 1, pieces, problem.shape.n) -
              first_image(piece, pieces, problem.shape.n);
    const bool bias = pass != KILN_ONEDNN_BACKWARD_DATA && problem.has_bias;
    convs.emplace_back(table, shape, pass, bias, why);
    if (!convs.back()) return {};
    // Packed weights are shared, so their layout must not depend on the piece.
    if (convs.back().weights_bytes() != convs.front().weights_bytes() ||
        convs.back().algorithm() != convs.front().algorithm())
      return {};
  }
  return convs;
}

std::size_t scratchpad_stride(const std::vector<OnednnConv>& convs) {
  std::size_t most = 0;
  for (const OnednnConv& conv : convs) most = std::max(most, conv.scratchpad_bytes());
  return whole_lines(most);
}

void check_context(const Conv2dProblem& problem, const Context& context) {
  KILN_CHECK(context.pool().thread_count() == problem.thread_count);
  KILN_CHECK(context.deterministic() == problem.deterministic);
}

std::int64_t image_count_of(const Shape& shape) { return shape.element_count() / shape[0]; }

// oneDNN's own fused relu turns NaN into 0, which would hide that training has diverged.
void apply_relu(float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = 0 > y[i] ? 0 : y[i];
}

class OnednnForward final : public Conv2dForward {
 public:
  OnednnForward(const Conv2dProblem& problem, std::vector<OnednnConv> convs)
      : problem_(problem),
        convs_(std::move(convs)),
        algorithm_(convs_.front().algorithm()),
        weights_bytes_(whole_lines(convs_.front().weights_bytes())),
        scratchpad_stride_(scratchpad_stride(convs_)) {}

  std::size_t scratch_bytes() const override {
    return weights_bytes_ + convs_.size() * scratchpad_stride_;
  }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dArgs& a) override {
    check(a);
    KILN_CHECK(a.shape == problem_.shape && a.bias.empty() == !problem_.has_bias);
    check_context(problem_, context);
    std::byte* scratchpads = a.scratch + weights_bytes_;
    convs_.front().pack(a.w.data<float>(), a.scratch, scratchpads);
    const std::int64_t pieces = static_cast<std::int64_t>(convs_.size());
    const std::int64_t x_image = image_count_of(a.shape.input());
    const std::int64_t y_image = image_count_of(a.shape.output());
    std::atomic<bool> ran = true;
    context.pool().parallel_for(pieces, [&](std::int64_t piece) {
      const std::int64_t image = first_image(piece, pieces, a.shape.n);
      const auto at = static_cast<std::size_t>(piece);
      if (!convs_[at].run(a.x.data<float>() + image * x_image, a.scratch,
                          a.bias.empty() ? nullptr : a.bias.data<float>(),
                          a.y.data<float>() + image * y_image,
                          scratchpads + at * scratchpad_stride_))
        ran = false;
      if (a.activation == Activation::relu)
        apply_relu(a.y.data<float>() + image * y_image,
                   (first_image(piece + 1, pieces, a.shape.n) - image) * y_image);
    });
    KILN_CHECK(ran);
  }

 private:
  Conv2dProblem problem_;
  std::vector<OnednnConv> convs_;
  std::string algorithm_;
  std::size_t weights_bytes_, scratchpad_stride_;
};

class OnednnBackward final : public Conv2dBackward {
 public:
  // `data` computes dx where it is replaced; `single`, one image for each thread, where it is added
  // to. The others are empty.
  OnednnBackward(const Conv2dProblem& problem, std::vector<OnednnConv> weights,
                 std::vector<OnednnConv> data, std::vector<OnednnConv> single)
      : problem_(problem),
        weights_(std::move(weights)),
        data_(std::move(data)),
        single_(std::move(single)),
        algorithm_(weights_.front().algorithm()) {
    const Conv2dShape& s = problem_.shape;
    partial_stride_ = whole_lines(weights_.front().weights_bytes());
    bias_stride_ = whole_lines(static_cast<std::size_t>(s.k) * sizeof(float));
    krsc_bytes_ =
        whole_lines(static_cast<std::size_t>(s.weights().element_count()) * sizeof(float));
    const std::vector<OnednnConv>& images = data_.empty() ? single_ : data_;
    if (images.empty()) return;
    packed_bytes_ = whole_lines(images.front().weights_bytes());
    image_stride_ =
        whole_lines(static_cast<std::size_t>(image_count_of(s.input())) * sizeof(float));
  }

  std::size_t scratch_bytes() const override {
    const std::size_t dw = dw_copy_bytes() + weights_.size() * (partial_stride_ + bias_stride_ +
                                                                scratchpad_stride(weights_));
    const std::size_t whole = data_.size() * scratchpad_stride(data_);
    const std::size_t single = single_.size() * (image_stride_ + scratchpad_stride(single_));
    return std::max(dw, packed_bytes_ + std::max(whole, single));
  }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dGradArgs& a) override {
    check(a);
    KILN_CHECK(a.shape == problem_.shape);
    KILN_CHECK(!a.wants_dx() || a.mode == problem_.dx);
    KILN_CHECK(!a.accumulate_parameters || problem_.accumulate_parameters);
    check_context(problem_, context);
    if (a.wants_dx()) {
      if (a.mode == GradWrite::overwrite)
        write_dx(context, a);
      else
        add_dx(context, a);
    }
    write_dw(context, a);
  }

 private:
  // oneDNN cannot add to dw: it is made here first.
  std::size_t dw_copy_bytes() const {
    return problem_.accumulate_parameters ? krsc_bytes_ : std::size_t{0};
  }

  void write_dx(Context& context, const Conv2dGradArgs& a) {
    const std::int64_t pieces = static_cast<std::int64_t>(data_.size());
    const std::int64_t x_image = image_count_of(a.shape.input());
    const std::int64_t y_image = image_count_of(a.shape.output());
    const std::size_t stride = scratchpad_stride(data_);
    data_.front().pack(a.w.data<float>(), a.scratch, a.scratch + packed_bytes_);
    std::atomic<bool> ran = true;
    context.pool().parallel_for(pieces, [&](std::int64_t piece) {
      const std::int64_t image = first_image(piece, pieces, a.shape.n);
      const auto at = static_cast<std::size_t>(piece);
      if (!data_[at].run(a.dx.data<float>() + image * x_image, a.scratch, nullptr,
                         a.dy.data<float>() + image * y_image,
                         a.scratch + packed_bytes_ + at * stride))
        ran = false;
    });
    KILN_CHECK(ran);
  }

  // oneDNN cannot add to dx: image by image through scratch.
  void add_dx(Context& context, const Conv2dGradArgs& a) {
    const std::int64_t x_image = image_count_of(a.shape.input());
    const std::int64_t y_image = image_count_of(a.shape.output());
    const std::size_t stride = image_stride_ + scratchpad_stride(single_);
    single_.front().pack(a.w.data<float>(), a.scratch, a.scratch + packed_bytes_);
    std::atomic<bool> ran = true;
    context.pool().parallel_for_threads(a.shape.n, [&](std::int64_t image, int thread) {
      const auto at = static_cast<std::size_t>(thread);
      std::byte* own = a.scratch + packed_bytes_ + at * stride;
      auto* part = reinterpret_cast<float*>(own);
      if (!single_[at].run(part, a.scratch, nullptr, a.dy.data<float>() + image * y_image,
                           own + image_stride_))
        ran = false;
      float* dx = a.dx.data<float>() + image * x_image;
      for (std::int64_t i = 0; i < x_image; ++i) dx[i] += part[i];
    });
    KILN_CHECK(ran);
  }

  void write_dw(Context& context, const Conv2dGradArgs& a) {
    const std::int64_t parts = static_cast<std::int64_t>(weights_.size());
    const std::int64_t x_image = image_count_of(a.shape.input());
    const std::int64_t y_image = image_count_of(a.shape.output());
    const std::size_t count = weights_.size();
    std::byte* partials = a.scratch + dw_copy_bytes();
    std::byte* biases = partials + count * partial_stride_;
    std::byte* scratchpads = biases + count * bias_stride_;
    const std::size_t stride = scratchpad_stride(weights_);
    std::atomic<bool> ran = true;
    context.pool().parallel_for(parts, [&](std::int64_t part) {
      const std::int64_t image = first_image(part, parts, a.shape.n);
      const auto at = static_cast<std::size_t>(part);
      if (!weights_[at].run(a.x.data<float>() + image * x_image, partials + at * partial_stride_,
                            reinterpret_cast<float*>(biases + at * bias_stride_),
                            a.dy.data<float>() + image * y_image, scratchpads + at * stride))
        ran = false;
    });
    KILN_CHECK(ran);
    add_partials(context, partials, partial_stride_);
    if (!a.accumulate_parameters) {
      weights_.front().unpack(partials, a.dw.data<float>(), scratchpads);
    } else {
      auto* krsc = reinterpret_cast<float*>(a.scratch);
      weights_.front().unpack(partials, krsc, scratchpads);
      float* dw = a.dw.data<float>();
      for (std::int64_t i = 0; i < a.dw.element_count(); ++i) dw[i] += krsc[i];
    }
    if (a.dbias.empty()) return;
    add_partials(context, biases, bias_stride_);
    const auto* sum = reinterpret_cast<const float*>(biases);
    float* dbias = a.dbias.data<float>();
    for (std::int64_t k = 0; k < a.shape.k; ++k)
      dbias[k] = a.accumulate_parameters ? dbias[k] + sum[k] : sum[k];
  }

  // The first partial becomes the sum of all, in their order.
  void add_partials(Context& context, std::byte* partials, std::size_t stride) const {
    const auto count = static_cast<std::int64_t>(stride / sizeof(float));
    auto* sum = reinterpret_cast<float*>(partials);
    const int pieces = context.pool().thread_count();
    context.pool().parallel_for(pieces, [&](std::int64_t piece) {
      const std::int64_t begin = piece * count / pieces, end = (piece + 1) * count / pieces;
      for (std::size_t part = 1; part < weights_.size(); ++part) {
        const auto* more = reinterpret_cast<const float*>(partials + part * stride);
        for (std::int64_t i = begin; i < end; ++i) sum[i] += more[i];
      }
    });
  }

  Conv2dProblem problem_;
  std::vector<OnednnConv> weights_, data_, single_;
  std::string algorithm_;
  std::size_t partial_stride_ = 0, bias_stride_ = 0, krsc_bytes_ = 0;
  std::size_t packed_bytes_ = 0, image_stride_ = 0;
};

class OnednnProvider final : public Conv2dProvider {
 public:
  OnednnProvider(Log& log, CpuConv2dChoice choice) : log_(&log), choice_(choice) {}
  std::string_view name() const override { return "oneDNN"; }

  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) override {
    if (!mine(problem)) return nullptr;
    const std::int64_t pieces = std::min<std::int64_t>(problem.thread_count, problem.shape.n);
    std::string why;
    auto convs = make_pieces(*table_, problem, KILN_ONEDNN_FORWARD, pieces, why);
    if (convs.empty()) return refused<Conv2dForward>(problem, why);
    return std::make_unique<OnednnForward>(problem, std::move(convs));
  }

  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) override {
    if (!mine(problem)) return nullptr;
    const std::int64_t images = problem.shape.n;
    const std::int64_t parts = std::min<std::int64_t>(
        problem.deterministic ? Context::kDeterministicParts : problem.thread_count, images);
    const std::int64_t pieces = std::min<std::int64_t>(problem.thread_count, images);
    std::string why;
    auto weights = make_pieces(*table_, problem, KILN_ONEDNN_BACKWARD_WEIGHTS, parts, why);
    if (weights.empty()) return refused<Conv2dBackward>(problem, why);
    std::vector<OnednnConv> data, single;
    if (problem.dx == GradWrite::overwrite) {
      data = make_pieces(*table_, problem, KILN_ONEDNN_BACKWARD_DATA, pieces, why);
    } else if (problem.dx == GradWrite::accumulate) {
      Conv2dProblem one = problem;
      one.shape.n = problem.thread_count;  // one image for each thread
      single = make_pieces(*table_, one, KILN_ONEDNN_BACKWARD_DATA, one.shape.n, why);
    }
    if (problem.wants_dx() && data.empty() && single.empty())
      return refused<Conv2dBackward>(problem, why);
    return std::make_unique<OnednnBackward>(problem, std::move(weights), std::move(data),
                                            std::move(single));
  }

 private:
  // Loads the plug-in when it is first needed.
  bool mine(const Conv2dProblem& problem) {
    if (problem.dtype != DType::f32 || choice_ == CpuConv2dChoice::own) return false;
    if (choice_ == CpuConv2dChoice::automatic && !onednn_wins(problem)) return false;
    if (!looked_) {
      looked_ = true;
      std::string why;
      table_ = load_onednn(why);
      if (table_ == nullptr) log_->once("oneDNN is not used, own kernels are: " + why);
    }
    return table_ != nullptr;
  }
  template <class T>
  std::unique_ptr<T> refused(const Conv2dProblem& problem, const std::string& why) {
    log_->once("oneDNN does not take conv2d " + to_string(problem.shape) + ": " +
               (why.empty() ? "its layouts depend on the batch" : why));
    return nullptr;
  }

  Log* log_;
  CpuConv2dChoice choice_;
  bool looked_ = false;
  const KilnOnednnTable* table_ = nullptr;
};

}  // namespace

bool onednn_wins(const Conv2dProblem& problem) {
  const Conv2dShape& s = problem.shape;
  const bool depthwise = s.groups > 1 && s.c == s.groups && s.k == s.groups;
  return depthwise && s.r * s.s <= 9;
}

std::unique_ptr<Conv2dProvider> make_onednn_conv2d_provider(Log& log, CpuConv2dChoice choice) {
  return std::make_unique<OnednnProvider>(log, choice);
}

}  // namespace kiln::cpu
