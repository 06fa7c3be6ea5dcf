# The kernels: compiled by nvcc into libkiln_cuda.so, and by the host's compiler into libkiln_emu.so.
set(KILN_KERNEL_SOURCES
  accumulate.cu adadelta_step.cu adam_step.cu add_relu.cu add_relu_grad.cu avgpool.cu
  avgpool_grad.cu batchnorm_apply.cu batchnorm_grad.cu batchnorm_infer.cu batchnorm_train.cu cast.cu
  conv2d.cu conv2d_grad.cu conv2d_implicit_gemm.cu conv2d_implicit_gemm_grad.cu dropout.cu
  dropout_grad.cu find_nonfinite.cu gelu.cu gelu_grad.cu gemm.cu linear.cu linear_grad.cu load_batch.cu
  log_softmax.cu log_softmax_grad.cu loss_scale_update.cu maxpool.cu maxpool_grad.cu
  muon_step.cu normalize_image.cu record_loss.cu relu.cu relu_grad.cu scale.cu sgd_step.cu softmax_xent.cu
  step_advance.cu)
# Their multiply-adds are PyTorch's, no more and no fewer: never contracted by the compiler.
set(KILN_UNCONTRACTED_SOURCES adadelta_step.cu adam_step.cu sgd_step.cu)
list(TRANSFORM KILN_KERNEL_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
list(TRANSFORM KILN_UNCONTRACTED_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
