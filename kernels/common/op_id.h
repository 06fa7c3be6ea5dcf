// The ops by name: the order of a device's table of kernels.
#pragma once

#include <iterator>
#include <string_view>

namespace kiln {

// X(op, its Args struct). A new op gets a line.
#define KILN_OPS(X)                                      \
  X(accumulate, AccumulateArgs)                          \
  X(adadelta_step, AdadeltaStepArgs)                     \
  X(adam_step, AdamStepArgs)                             \
  X(add_relu, AddReluArgs)                               \
  X(add_relu_grad, AddReluGradArgs)                      \
  X(avgpool, AvgpoolArgs)                                \
  X(avgpool_grad, AvgpoolGradArgs)                       \
  X(batchnorm_apply, BatchnormApplyArgs)                 \
  X(batchnorm_grad, BatchnormGradArgs)                   \
  X(batchnorm_infer, BatchnormInferArgs)                 \
  X(batchnorm_train, BatchnormTrainArgs)                 \
  X(cast, CastArgs)                                      \
  X(conv2d, Conv2dArgs)                                  \
  X(conv2d_grad, Conv2dGradArgs)                         \
  X(conv2d_implicit_gemm, Conv2dArgs)                    \
  X(conv2d_implicit_gemm_grad, Conv2dGradArgs)           \
  X(conv2d_relu_maxpool, Conv2dReluMaxpoolArgs)          \
  X(conv2d_relu_maxpool_grad, Conv2dReluMaxpoolGradArgs) \
  X(dropout, DropoutArgs)                                \
  X(dropout_grad, DropoutGradArgs)                       \
  X(find_nonfinite, FindNonfiniteArgs)                   \
  X(gelu, GeluArgs)                                      \
  X(gelu_grad, GeluGradArgs)                             \
  X(linear, LinearArgs)                                  \
  X(linear_grad, LinearGradArgs)                         \
  X(load_batch, LoadBatchArgs)                           \
  X(log_softmax, LogSoftmaxArgs)                         \
  X(log_softmax_grad, LogSoftmaxGradArgs)                \
  X(loss_scale_update, LossScaleUpdateArgs)              \
  X(maxpool, MaxpoolArgs)                                \
  X(maxpool_grad, MaxpoolGradArgs)                       \
  X(muon_step, MuonStepArgs)                             \
  X(normalize_image, NormalizeImageArgs)                 \
  X(record_loss, RecordLossArgs)                         \
  X(relu, ReluArgs)                                      \
  X(relu_grad, ReluGradArgs)                             \
  X(scale, ScaleArgs)                                    \
  X(sgd_step, SgdStepArgs)                               \
  X(softmax_xent, SoftmaxXentArgs)                       \
  X(step_advance, StepAdvanceArgs)

enum class Op {
#define KILN_OP_NAME(op, args) op,
  KILN_OPS(KILN_OP_NAME)
#undef KILN_OP_NAME
};

inline constexpr std::string_view kOpNames[] = {
#define KILN_OP_TEXT(op, args) #op,
    KILN_OPS(KILN_OP_TEXT)
#undef KILN_OP_TEXT
};
inline constexpr int kOpCount = static_cast<int>(std::size(kOpNames));

constexpr std::string_view name_of(Op op) { return kOpNames[static_cast<int>(op)]; }

}  // namespace kiln
