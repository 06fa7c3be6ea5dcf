// A convolution as a graph of cuDNN, with the plans that can compute it. The frontend's headers
// stay in conv_graph.cpp: they take ten seconds to compile.
//
//   auto graph = ConvGraph::on_device(problem, handle);
//   graph.build(0)                                   // the heuristic's first choice; may take 1 s
//   graph.run(handle, 0, {...}, workspace);          // queued on the handle's stream
//
// The same code, with a description of a device instead of a handle, tells whether a device has a
// plan at all; that needs no device (tests/cudnn). Not yet run on a GPU.
#pragma once

#include <cstddef>
#include <cudnn.h>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cudnn/conv_plan.h"

namespace kiln::cudnn {

// Device memory, 16-byte aligned. A pass reads two of image (x or dx), filter (w or dw) and output
// (y or dy) and writes the third.
struct ConvMemory {
  void* image = nullptr;
  void* filter = nullptr;
  void* output = nullptr;
  void* bias = nullptr;  // null where the pass has none
};

class ConvGraph {
 public:
  static constexpr std::size_t kMostWorkspaceBytes = std::size_t{64} << 20;

  // Both throw Error (unsupported) with cuDNN's reason where no plan is left after those that need
  // more workspace or are unfit (is_fit) were struck out.
  static ConvGraph on_device(const ConvProblem& problem, cudnnHandle_t handle);
  // `description`: JSON as in tests/cudnn/devices.
  static ConvGraph on_description(const ConvProblem& problem, const std::string& description);

  ConvGraph(ConvGraph&&) noexcept;
  ConvGraph& operator=(ConvGraph&&) noexcept;
  ~ConvGraph();

  // The fit plans in the order of cuDNN's heuristics: mode A, mode B, the fallback list. A plan
  // that several lists name stands where it came first.
  const std::vector<ConvPlan>& candidates() const { return candidates_; }

  // False for a plan that cuDNN cannot make after all.
  bool build(int candidate);
  // Of a candidate that was built.
  std::size_t workspace_bytes(int candidate) const;
  // Throws Error (io). `workspace` is 256-byte aligned.
  void run(cudnnHandle_t handle, int candidate, const ConvMemory& memory, void* workspace);

 private:
  struct Parts;
  explicit ConvGraph(std::unique_ptr<Parts> parts);
  static ConvGraph make(const ConvProblem& problem, cudnnHandle_t handle,
                        const std::string* description);
  void keep_fit_plans();
  int place_of(int candidate) const;

  std::unique_ptr<Parts> parts_;
  std::vector<ConvPlan> candidates_;
};

}  // namespace kiln::cudnn
