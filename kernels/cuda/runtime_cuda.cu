#include <array>
#include <cstdio>
#include <cstring>
#include <cuda_runtime.h>
#include <mutex>
#include <string>

#include "engine/core/error.h"
#include "kernels/cuda/runtime.h"

namespace kiln::cuda {
namespace {

constexpr int kMostDevices = 64;

void require_success(cudaError_t status, int index, const std::string& what) {
  if (status == cudaSuccess) return;
  throw Error(ErrorKind::io, "cuda:" + std::to_string(index),
              what + " failed: " + cudaGetErrorString(status));
}

// The calling thread works on device `index` from here on.
void choose(int index) { require_success(cudaSetDevice(index), index, "choosing the device"); }

std::string mebibytes(std::size_t size_bytes) {
  return std::to_string((size_bytes + (std::size_t{1} << 19)) >> 20) + " MiB";
}

cudaStream_t queue_of(int index) { return reinterpret_cast<cudaStream_t>(stream(index)); }

// One queue a device, made when it is first asked for. Streams live as long as the process: the
// driver takes them down with the context.
struct Streams {
  std::mutex mutex;
  std::array<cudaStream_t, kMostDevices> of{};
};
Streams& streams() {
  static Streams all;
  return all;
}

}  // namespace

int device_count() {
  int count = 0;
  // Any error means that there is no device to use; without a driver there are several kinds.
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count < kMostDevices ? count : kMostDevices;
}

const char* describe(int index) {
  static thread_local std::array<char, 512> text;
  cudaDeviceProp properties{};
  require_success(cudaGetDeviceProperties(&properties, index), index, "reading its properties");
  int driver = 0;
  require_success(cudaDriverGetVersion(&driver), index, "reading the driver's version");
  std::snprintf(text.data(), text.size(),
                "%s, compute capability %d.%d, %d multiprocessors, %.1f GiB, driver for CUDA %d.%d",
                properties.name, properties.major, properties.minor, properties.multiProcessorCount,
                static_cast<double>(properties.totalGlobalMem) / 1073741824.0, driver / 1000,
                driver % 1000 / 10);
  return text.data();
}

void* allocate(int index, std::size_t size_bytes) {
  choose(index);
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, size_bytes);
  if (status != cudaSuccess) {
    cudaGetLastError();
    std::size_t free_bytes = 0, total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    throw Error(ErrorKind::io, "cuda:" + std::to_string(index),
                "cannot get " + mebibytes(size_bytes) + " (" + cudaGetErrorString(status) + "; " +
                    mebibytes(free_bytes) + " of " + mebibytes(total_bytes) + " are free)",
                "use a smaller batch or network");
  }
  fill(index, memory, 0, size_bytes);
  return memory;
}

void release(int index, void* memory) noexcept {
  // At exit the driver may be gone already; then so is the memory.
  if (cudaSetDevice(index) == cudaSuccess) static_cast<void>(cudaFree(memory));
}

std::uintptr_t stream(int index) {
  Streams& all = streams();
  const std::lock_guard lock(all.mutex);
  cudaStream_t& own = all.of.at(static_cast<std::size_t>(index));
  if (own == nullptr) {
    choose(index);
    require_success(cudaStreamCreateWithFlags(&own, cudaStreamNonBlocking), index,
                    "making a stream");
  }
  return reinterpret_cast<std::uintptr_t>(own);
}

void synchronise(int index) {
  choose(index);
  require_success(cudaStreamSynchronize(queue_of(index)), index, "waiting for its work");
}

void copy_to_device(int index, void* to, const void* from, std::size_t size_bytes) {
  choose(index);
  require_success(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyHostToDevice, queue_of(index)),
                  index, "copying to it");
  synchronise(index);
}

void copy_to_host(int index, void* to, const void* from, std::size_t size_bytes) {
  choose(index);
  require_success(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDeviceToHost, queue_of(index)),
                  index, "copying from it");
  synchronise(index);
}

void fill(int index, void* to, int byte, std::size_t size_bytes) {
  choose(index);
  require_success(cudaMemsetAsync(to, byte, size_bytes, queue_of(index)), index,
                  "filling its memory");
  synchronise(index);
}

void begin_capture(int index) {
  choose(index);
  // Thread-local: what other threads of the program do meanwhile spoils nothing.
  require_success(cudaStreamBeginCapture(queue_of(index), cudaStreamCaptureModeThreadLocal), index,
                  "beginning to capture a graph");
}

void* end_capture(int index) {
  choose(index);
  cudaGraph_t graph = nullptr;
  require_success(cudaStreamEndCapture(queue_of(index), &graph), index, "capturing a graph");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  require_success(status, index, "preparing a captured graph");
  require_success(cudaGraphUpload(executable, queue_of(index)), index, "sending a graph to it");
  return executable;
}

void abandon_capture(int index) noexcept {
  if (cudaSetDevice(index) != cudaSuccess) return;
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(queue_of(index), &graph) == cudaSuccess && graph != nullptr)
    cudaGraphDestroy(graph);
  cudaGetLastError();
}

void launch_graph(int index, void* graph) {
  choose(index);
  require_success(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), queue_of(index)), index,
                  "launching a graph");
}

void release_graph(int index, void* graph) noexcept {
  if (cudaSetDevice(index) == cudaSuccess)
    static_cast<void>(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)));
}

void* allocate_pinned(int index, std::size_t size_bytes) {
  choose(index);
  void* memory = nullptr;
  require_success(cudaHostAlloc(&memory, size_bytes, cudaHostAllocDefault), index,
                  "getting " + mebibytes(size_bytes) + " of pinned host memory");
  std::memset(memory, 0, size_bytes);
  return memory;
}

void release_pinned(int index, void* memory) noexcept {
  if (cudaSetDevice(index) == cudaSuccess) static_cast<void>(cudaFreeHost(memory));
}

void queue_copy_to_host(int index, void* to, const void* from, std::size_t size_bytes) {
  choose(index);
  require_success(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDeviceToHost, queue_of(index)),
                  index, "copying from it");
}

void* make_event(int index) {
  choose(index);
  cudaEvent_t event = nullptr;
  require_success(cudaEventCreateWithFlags(&event, cudaEventBlockingSync | cudaEventDisableTiming),
                  index, "making an event");
  return event;
}

void release_event(int index, void* event) noexcept {
  if (cudaSetDevice(index) == cudaSuccess)
    static_cast<void>(cudaEventDestroy(static_cast<cudaEvent_t>(event)));
}

void record_event(int index, void* event) {
  choose(index);
  require_success(cudaEventRecord(static_cast<cudaEvent_t>(event), queue_of(index)), index,
                  "recording an event");
}

bool event_done(int index, void* event) {
  choose(index);
  const cudaError_t status = cudaEventQuery(static_cast<cudaEvent_t>(event));
  if (status == cudaErrorNotReady) return false;
  require_success(status, index, "asking for an event");
  return true;
}

void wait_event(int index, void* event) {
  choose(index);
  require_success(cudaEventSynchronize(static_cast<cudaEvent_t>(event)), index,
                  "waiting for an event");
}

void check_launch(const char* op) {
  const cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess) return;
  int index = 0;
  cudaGetDevice(&index);
  throw Error(ErrorKind::io, "cuda:" + std::to_string(index),
              "cannot run " + std::string(op) + ": " + cudaGetErrorString(status));
}

}  // namespace kiln::cuda
