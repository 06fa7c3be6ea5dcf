#include "kernels/cudnn/conv_trial.h"

#include <cstdint>

#include "engine/core/error.h"

namespace kiln::cudnn {
namespace {

void require_done(cudaError_t status, std::string_view doing) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // or the next call would report it again
  throw Error(ErrorKind::io, "timing cuDNN's plans",
              "cannot " + std::string(doing) + ": " + cudaGetErrorString(status));
}

std::size_t aligned_bytes(const Shape& shape, DType dtype) {
  constexpr std::size_t kAlignment = 256;
  const auto size_bytes = static_cast<std::size_t>(shape.element_count()) * size_of(dtype);
  return (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

ConvTrial::ConvTrial(const ConvProblem& problem, CudnnHandle& handle) : handle_(handle) {
  try {
    make(problem);
  } catch (const Error&) {
    release();
    throw;
  }
}

ConvTrial::~ConvTrial() { release(); }

void ConvTrial::make(const ConvProblem& problem) {
  handle_.on(0);  // the handle's device is this thread's from here on
  const Conv2dShape& s = problem.shape;
  // What is written has another type at most in `result`, which is no wider than f32.
  const DType widest =
      size_of(problem.result) > size_of(problem.dtype) ? problem.result : problem.dtype;
  const std::size_t image = aligned_bytes(s.input(), widest);
  const std::size_t filter = aligned_bytes(s.weights(), widest);
  const std::size_t output = aligned_bytes(s.output(), widest);
  const std::size_t bias = aligned_bytes({s.k}, widest);
  const std::size_t tensors = image + filter + output + bias;
  void* memory = nullptr;
  require_done(cudaMalloc(&memory, tensors + ConvGraph::kMostWorkspaceBytes), "take memory");
  memory_ = static_cast<std::byte*>(memory);
  require_done(cudaMemset(memory_, 0, tensors), "clear memory");
  tensors_ = {.image = memory_, .filter = memory_ + image, .output = memory_ + image + filter};
  if (problem.epilogue == Epilogue::bias || problem.epilogue == Epilogue::bias_relu)
    tensors_.bias = memory_ + image + filter + output;
  workspace_ = memory_ + tensors;
  require_done(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "make a stream");
  require_done(cudaEventCreate(&begin_), "make an event");
  require_done(cudaEventCreate(&end_), "make an event");
  require_done(cudaDeviceSynchronize(), "wait for the device");
}

void ConvTrial::release() {
  try {
    handle_.on(0);  // a later stream may have the address of this one
  } catch (const Error&) {
    // A handle that no stream can be set for says so when it is used next.
  }
  if (end_ != nullptr) static_cast<void>(cudaEventDestroy(end_));
  if (begin_ != nullptr) static_cast<void>(cudaEventDestroy(begin_));
  if (stream_ != nullptr) static_cast<void>(cudaStreamDestroy(stream_));
  if (memory_ != nullptr) static_cast<void>(cudaFree(memory_));
}

double ConvTrial::run_us(ConvGraph& graph, int candidate) {
  cudnnHandle_t handle = handle_.on(reinterpret_cast<std::uintptr_t>(stream_));
  require_done(cudaEventRecord(begin_, stream_), "record an event");
  graph.run(handle, candidate, tensors_, workspace_);
  require_done(cudaEventRecord(end_, stream_), "record an event");
  require_done(cudaEventSynchronize(end_), "wait for a plan");
  float milliseconds = 0;
  require_done(cudaEventElapsedTime(&milliseconds, begin_, end_), "read a time");
  return 1e3 * static_cast<double>(milliseconds);
}

std::string tuned_for(int device_index) {
  cudaDeviceProp properties{};
  require_done(cudaGetDeviceProperties(&properties, device_index), "ask for the device's name");
  return "cuDNN " + std::to_string(cudnnGetVersion()) + ", " + printable(properties.name) + " " +
         std::to_string(properties.major) + "." + std::to_string(properties.minor);
}

}  // namespace kiln::cudnn
