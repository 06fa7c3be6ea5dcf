// Every kernel of a device, declared. Each lives in kernels/cuda/<op>.cu.
#pragma once

#include "kernels/include/accumulate.h"
#include "kernels/include/adadelta_step.h"
#include "kernels/include/adam_step.h"
#include "kernels/include/add_relu.h"
#include "kernels/include/add_relu_grad.h"
#include "kernels/include/avgpool.h"
#include "kernels/include/avgpool_grad.h"
#include "kernels/include/batchnorm_apply.h"
#include "kernels/include/batchnorm_grad.h"
#include "kernels/include/batchnorm_infer.h"
#include "kernels/include/batchnorm_train.h"
#include "kernels/include/cast.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_grad.h"
#include "kernels/include/conv2d_relu_maxpool.h"
#include "kernels/include/conv2d_relu_maxpool_grad.h"
#include "kernels/include/dropout.h"
#include "kernels/include/dropout_grad.h"
#include "kernels/include/find_nonfinite.h"
#include "kernels/include/gelu.h"
#include "kernels/include/gelu_grad.h"
#include "kernels/include/linear.h"
#include "kernels/include/linear_grad.h"
#include "kernels/include/load_batch.h"
#include "kernels/include/log_softmax.h"
#include "kernels/include/log_softmax_grad.h"
#include "kernels/include/loss_scale_update.h"
#include "kernels/include/maxpool.h"
#include "kernels/include/maxpool_grad.h"
#include "kernels/include/muon_step.h"
#include "kernels/include/normalize_image.h"
#include "kernels/include/record_loss.h"
#include "kernels/include/relu.h"
#include "kernels/include/relu_grad.h"
#include "kernels/include/scale.h"
#include "kernels/include/sgd_step.h"
#include "kernels/include/softmax_xent.h"
#include "kernels/include/step_advance.h"

namespace kiln::cuda {

void accumulate(Context& c, const AccumulateArgs& args);
void adadelta_step(Context& c, const AdadeltaStepArgs& args);
void adam_step(Context& c, const AdamStepArgs& args);
void add_relu(Context& c, const AddReluArgs& args);
void add_relu_grad(Context& c, const AddReluGradArgs& args);
void avgpool(Context& c, const AvgpoolArgs& args);
void avgpool_grad(Context& c, const AvgpoolGradArgs& args);
void batchnorm_apply(Context& c, const BatchnormApplyArgs& args);
void batchnorm_grad(Context& c, const BatchnormGradArgs& args);
void batchnorm_infer(Context& c, const BatchnormInferArgs& args);
void batchnorm_train(Context& c, const BatchnormTrainArgs& args);
void cast(Context& c, const CastArgs& args);
void conv2d(Context& c, const Conv2dArgs& args);
void conv2d_grad(Context& c, const Conv2dGradArgs& args);
void conv2d_implicit_gemm(Context& c, const Conv2dArgs& args);
void conv2d_implicit_gemm_grad(Context& c, const Conv2dGradArgs& args);
void dropout(Context& c, const DropoutArgs& args);
void dropout_grad(Context& c, const DropoutGradArgs& args);
void find_nonfinite(Context& c, const FindNonfiniteArgs& args);
void gelu(Context& c, const GeluArgs& args);
void gelu_grad(Context& c, const GeluGradArgs& args);
void linear(Context& c, const LinearArgs& args);
void linear_grad(Context& c, const LinearGradArgs& args);
void load_batch(Context& c, const LoadBatchArgs& args);
void log_softmax(Context& c, const LogSoftmaxArgs& args);
void log_softmax_grad(Context& c, const LogSoftmaxGradArgs& args);
void loss_scale_update(Context& c, const LossScaleUpdateArgs& args);
void maxpool(Context& c, const MaxpoolArgs& args);
void maxpool_grad(Context& c, const MaxpoolGradArgs& args);
void muon_step(Context& c, const MuonStepArgs& args);
void normalize_image(Context& c, const NormalizeImageArgs& args);
void record_loss(Context& c, const RecordLossArgs& args);
void relu(Context& c, const ReluArgs& args);
void relu_grad(Context& c, const ReluGradArgs& args);
void scale(Context& c, const ScaleArgs& args);
void sgd_step(Context& c, const SgdStepArgs& args);
void softmax_xent(Context& c, const SoftmaxXentArgs& args);
void step_advance(Context& c, const StepAdvanceArgs& args);

}  // namespace kiln::cuda
