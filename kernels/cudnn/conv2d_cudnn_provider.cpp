#include "kernels/cudnn/conv2d_cudnn_provider.h"

#include <algorithm>
#include <cstdlib>
#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/check.h"
#include "kernels/common/plan_choice.h"
#include "kernels/cudnn/conv_graph.h"
#include "kernels/cudnn/conv_trial.h"
#include "kernels/cudnn/cudnn_handle.h"
#include "kernels/include/accumulate.h"

namespace kiln::cudnn {
namespace {

constexpr std::size_t kAlignment = 256;
std::size_t aligned(std::size_t size_bytes) {
  return (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
}
std::byte* aligned(std::byte* memory) {
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  return memory + (aligned(address) - address);
}

cudnnDataType_t cudnn_type(DType dtype) {
  if (dtype == DType::f16) return CUDNN_DATA_HALF;
  return dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

void* pointer_of(const Tensor& tensor) { return tensor.empty() ? nullptr : tensor.raw(); }

// y += x by the device's own kernel.
void add(Context& context, const Tensor& x, const Tensor& y) {
  const AccumulateArgs args{.x = x, .y = y};
  context.device().backend->ops[static_cast<int>(Op::accumulate)](context, &args);
}

// A graph with one plan built. Not for two threads at a time.
struct Plan {
  ConvGraph graph;
  int candidate;
  std::size_t workspace_bytes;
  std::string name;  // and where the choice comes from
};

// Chooses plans by cuDNN's order, or by timing them once.
class Planning {
 public:
  Planning(int device_index, Log& log, bool autotune) : log_(&log) {
    if (!autotune) return;
    device_ = tuned_for(device_index);
    cache_.emplace(cache_folder([](const char* name) { return std::getenv(name); }), log);
  }

  std::shared_ptr<Plan> make(const ConvProblem& problem, CudnnHandle& handle) {
    ConvGraph graph = ConvGraph::on_device(problem, handle.get());
    std::vector<std::string> names;
    for (const ConvPlan& plan : graph.candidates()) names.push_back(plan.name);
    std::optional<ConvTrial> trial;
    const PlanTrials trials{.prepare = [&](int candidate) { return graph.build(candidate); },
                            .run_us =
                                [&](int candidate) {
                                  if (!trial) trial.emplace(problem, handle);
                                  return trial->run_us(graph, candidate);
                                }};
    // Timings differ from run to run, and so would the bits.
    PlanCache* cache = cache_ && !problem.deterministic ? &*cache_ : nullptr;
    const auto choice = choose_plan(device_ + ", " + key_of(problem), names, trials, cache, *log_);
    if (!choice)
      throw Error(ErrorKind::unsupported, key_of(problem), "none of its plans can be built");
    const std::size_t workspace_bytes = graph.workspace_bytes(choice->candidate);
    std::string name = names[static_cast<std::size_t>(choice->candidate)] + " (" +
                       std::string(name_of(choice->source)) + ")";
    return std::make_shared<Plan>(
        Plan{std::move(graph), choice->candidate, workspace_bytes, std::move(name)});
  }

 private:
  Log* log_;
  std::string device_;
  std::optional<PlanCache> cache_;
};

// What the objects of a provider share; it lives as long as the last of them.
class Shared {
 public:
  Shared(int device_index, Log& log, bool autotune)
      : handle_(device_index), planning_(device_index, log, autotune) {}
  CudnnHandle& handle() { return handle_; }

  std::shared_ptr<Plan> plan(const ConvProblem& problem) {
    const auto known = std::find_if(plans_.begin(), plans_.end(),
                                    [&](const auto& entry) { return entry.first == problem; });
    if (known != plans_.end()) {
      plans_.splice(plans_.begin(), plans_, known);
      return known->second;
    }
    plans_.emplace_front(problem, planning_.make(problem, handle_));
    if (plans_.size() > kMostPlans) plans_.pop_back();
    return plans_.front().second;
  }

 private:
  // Three passes of a hundred layers; whoever still uses a plan that fell out keeps it.
  static constexpr std::size_t kMostPlans = 300;

  CudnnHandle handle_;
  Planning planning_;
  std::list<std::pair<ConvProblem, std::shared_ptr<Plan>>> plans_;  // the last used first
};

class Forward final : public Conv2dForward {
 public:
  Forward(std::shared_ptr<Shared> shared, std::shared_ptr<Plan> plan)
      : shared_(std::move(shared)), plan_(std::move(plan)) {}
  std::size_t scratch_bytes() const override { return plan_->workspace_bytes + kAlignment; }
  std::string_view algorithm() const override { return plan_->name; }
  void run(Context& context, const Conv2dArgs& args) override {
    plan_->graph.run(shared_->handle().on(context.stream().native_handle()), plan_->candidate,
                     {.image = pointer_of(args.x),
                      .filter = pointer_of(args.w),
                      .output = pointer_of(args.y),
                      .bias = pointer_of(args.bias)},
                     aligned(args.scratch));
  }

 private:
  std::shared_ptr<Shared> shared_;
  std::shared_ptr<Plan> plan_;
};

// Gradients that are added to are made in scratch memory first: cuDNN's graphs only replace.
class Backward final : public Conv2dBackward {
 public:
  Backward(std::shared_ptr<Shared> shared, const Conv2dProblem& problem,
           std::shared_ptr<Plan> filter, std::shared_ptr<Plan> image)
      : shared_(std::move(shared)),
        problem_(problem),
        filter_(std::move(filter)),
        image_(std::move(image)),
        dy_(cudnn_type(problem.dtype), problem.shape.n, problem.shape.p(), problem.shape.q(),
            problem.shape.k),
        dbias_(cudnn_type(problem.dtype), 1, 1, 1, problem.shape.k) {
    workspace_bytes_ =
        aligned(std::max(filter_->workspace_bytes, image_ ? image_->workspace_bytes : 0));
    algorithm_ = "dw " + filter_->name + (image_ ? ", dx " + image_->name : "");
  }
  std::size_t scratch_bytes() const override {
    return workspace_bytes_ + added_gradient_bytes(problem_) + kAlignment;
  }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dGradArgs& args) override {
    KILN_CHECK(args.mode != GradWrite::accumulate || problem_.dx == GradWrite::accumulate);
    KILN_CHECK(!args.accumulate_parameters || problem_.accumulate_parameters);
    KILN_CHECK(!args.wants_dx() || image_ != nullptr);
    cudnnHandle_t handle = shared_->handle().on(context.stream().native_handle());
    if (args.wants_dx())
      gradient(context, args, *image_, args.dx, args.mode == GradWrite::accumulate);
    gradient(context, args, *filter_, args.dw, args.accumulate_parameters);
    if (args.dbias.empty()) return;
    const float one = 1, kept = args.accumulate_parameters ? 1 : 0;
    require_success(cudnnConvolutionBackwardBias(handle, &one, dy_.get(), pointer_of(args.dy),
                                                 &kept, dbias_.get(), pointer_of(args.dbias)),
                    "cudnnConvolutionBackwardBias");
  }

 private:
  void gradient(Context& context, const Conv2dGradArgs& args, Plan& plan, const Tensor& result,
                bool add_to_it) {
    std::byte* workspace = aligned(args.scratch);
    const Tensor target = add_to_it ? Tensor(workspace + workspace_bytes_, result.shape(),
                                             result.dtype(), result.device())
                                    : result;
    const bool is_image = &plan == image_.get();
    plan.graph.run(shared_->handle().get(), plan.candidate,
                   {.image = pointer_of(is_image ? target : args.x),
                    .filter = pointer_of(is_image ? args.w : target),
                    .output = pointer_of(args.dy)},
                   workspace);
    if (add_to_it) add(context, target, result);
  }

  std::shared_ptr<Shared> shared_;
  Conv2dProblem problem_;
  std::shared_ptr<Plan> filter_, image_;
  TensorDescriptor dy_, dbias_;
  std::size_t workspace_bytes_ = 0;
  std::string algorithm_;
};

class CudnnProvider final : public Conv2dProvider {
 public:
  CudnnProvider(int device_index, Log& log, const DeviceConv2dOptions& options)
      : shared_(std::make_shared<Shared>(device_index, log, options.autotune)),
        log_(&log),
        tf32_(options.tf32) {}
  std::string_view name() const override { return tf32_ ? "cuDNN, tf32" : "cuDNN"; }

  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) override {
    ConvProblem wanted = translated(problem, ConvPass::forward);
    const bool relu = problem.activation == Activation::relu;
    if (problem.has_bias)
      wanted.epilogue = relu ? Epilogue::bias_relu : Epilogue::bias;
    else
      wanted.epilogue = relu ? Epilogue::relu : Epilogue::none;
    const auto plan = plan_or_null(wanted);
    return plan ? std::make_unique<Forward>(shared_, plan) : nullptr;
  }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) override {
    const auto filter = plan_or_null(translated(problem, ConvPass::filter_gradient));
    if (!filter) return nullptr;
    const auto image =
        problem.wants_dx() ? plan_or_null(translated(problem, ConvPass::input_gradient)) : nullptr;
    if (problem.wants_dx() && !image) return nullptr;
    return std::make_unique<Backward>(shared_, problem, filter, image);
  }

 private:
  ConvProblem translated(const Conv2dProblem& problem, ConvPass pass) const {
    return {.shape = problem.shape,
            .dtype = problem.dtype,
            .result = problem.dtype,
            .pass = pass,
            .math = tf32_ && problem.dtype == DType::f32 ? FloatMath::tf32 : FloatMath::fp32,
            .deterministic = problem.deterministic};
  }
  // Null, with a line in the log, where cuDNN has nothing: the next provider is asked.
  std::shared_ptr<Plan> plan_or_null(const ConvProblem& problem) {
    if (problem.dtype == DType::f64) return nullptr;
    try {
      return shared_->plan(problem);
    } catch (const Error& error) {
      log_->once(std::string("cuDNN does not take ") + error.what());
      return nullptr;
    }
  }

  std::shared_ptr<Shared> shared_;
  Log* log_;
  bool tf32_;
};

}  // namespace

std::unique_ptr<Conv2dProvider> make_conv2d_provider(Device device, Log& log,
                                                     const DeviceConv2dOptions& options) {
  return std::make_unique<CudnnProvider>(device.index, log, options);
}

}  // namespace kiln::cudnn
