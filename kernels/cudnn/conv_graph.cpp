#include "kernels/cudnn/conv_graph.h"

#include <algorithm>
#include <cudnn_frontend.h>
#include <unordered_map>

#include "engine/core/error.h"

namespace kiln::cudnn {
namespace {

namespace fe = cudnn_frontend;
using fe::graph::Graph;
using fe::graph::Tensor_attributes;
using TensorPointer = std::shared_ptr<Tensor_attributes>;

enum Uid : std::int64_t { kImage = 1, kFilter = 2, kOutput = 3, kBias = 4 };

fe::DataType_t type_of(DType dtype) {
  if (dtype == DType::f32) return fe::DataType_t::FLOAT;
  if (dtype == DType::f16) return fe::DataType_t::HALF;
  if (dtype == DType::bf16) return fe::DataType_t::BFLOAT16;
  throw Error(ErrorKind::unsupported, name_of(dtype), "is no type that cuDNN convolves here");
}

void require(fe::error_t status, const ConvProblem& problem, std::string_view step) {
  if (status.is_good()) return;
  throw Error(ErrorKind::unsupported, key_of(problem),
              std::string(step) + ": " + printable(status.get_message()));
}

// cuDNN writes extents in the order N, C, H, W whatever the layout, which the strides tell.
struct Extents {
  std::vector<std::int64_t> dims, strides;
};
Extents channels_last(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) {
  return {{n, c, h, w}, {h * w * c, 1, w * c, c}};
}
Extents image_of(const Conv2dShape& s) { return channels_last(s.n, s.h, s.w, s.c); }
Extents filter_of(const Conv2dShape& s) { return channels_last(s.k, s.r, s.s, s.c / s.groups); }
Extents output_of(const Conv2dShape& s) { return channels_last(s.n, s.p(), s.q(), s.k); }

TensorPointer input(Graph& graph, Uid uid, const Extents& extents, DType dtype) {
  return graph.tensor(Tensor_attributes()
                          .set_uid(uid)
                          .set_dim(extents.dims)
                          .set_stride(extents.strides)
                          .set_data_type(type_of(dtype)));
}

void output(const TensorPointer& tensor, Uid uid, const Extents& extents, DType dtype) {
  tensor->set_output(true).set_uid(uid).set_dim(extents.dims).set_stride(extents.strides);
  tensor->set_data_type(type_of(dtype));
}

template <class Attributes>
Attributes geometry(const Conv2dShape& s) {
  Attributes attributes;
  attributes.set_padding({s.pad_h, s.pad_w})
      .set_stride({s.stride_h, s.stride_w})
      .set_dilation({s.dilation_h, s.dilation_w});
  return attributes;
}

void add_forward(Graph& graph, const ConvProblem& problem) {
  const Conv2dShape& s = problem.shape;
  TensorPointer y = graph.conv_fprop(input(graph, kImage, image_of(s), problem.dtype),
                                     input(graph, kFilter, filter_of(s), problem.dtype),
                                     geometry<fe::graph::Conv_fprop_attributes>(s));
  using fe::graph::Pointwise_attributes;
  const Epilogue end = problem.epilogue;
  if (end == Epilogue::bias || end == Epilogue::bias_relu)
    y = graph.pointwise(y, input(graph, kBias, channels_last(1, 1, 1, s.k), problem.dtype),
                        Pointwise_attributes().set_mode(fe::PointwiseMode_t::ADD));
  if (end == Epilogue::relu || end == Epilogue::bias_relu)
    y = graph.pointwise(y, Pointwise_attributes().set_mode(fe::PointwiseMode_t::RELU_FWD));
  output(y, kOutput, output_of(s), problem.result);
}

void add_input_gradient(Graph& graph, const ConvProblem& problem) {
  const Conv2dShape& s = problem.shape;
  output(graph.conv_dgrad(input(graph, kOutput, output_of(s), problem.dtype),
                          input(graph, kFilter, filter_of(s), problem.dtype),
                          geometry<fe::graph::Conv_dgrad_attributes>(s)),
         kImage, image_of(s), problem.result);
}

void add_filter_gradient(Graph& graph, const ConvProblem& problem) {
  const Conv2dShape& s = problem.shape;
  output(graph.conv_wgrad(input(graph, kOutput, output_of(s), problem.dtype),
                          input(graph, kImage, image_of(s), problem.dtype),
                          geometry<fe::graph::Conv_wgrad_attributes>(s)),
         kFilter, filter_of(s), problem.result);
}

// The frontend keeps the notes of its plans to itself and strikes plans out one note at a time.
class PlannedGraph : public Graph {
 public:
  // All plans that the device supports within the workspace, unfit ones among them.
  std::vector<ConvPlan> supported() {
    std::vector<ConvPlan> found;
    for (std::int64_t place = 0; place < get_execution_plan_count(); ++place) {
      if (plans.check_support_at_index(place).is_bad()) continue;
      ConvPlan& plan = found.emplace_back();
      plan.place = static_cast<int>(place);
      plan.notes = notes_at(static_cast<std::size_t>(place));
      if (get_plan_name_at_index(place, plan.name).is_bad()) found.pop_back();
    }
    return found;
  }

 private:
  PlanNotes notes_at(std::size_t place) const {
    using Note = fe::NumericalNote_t;
    const std::vector<Note>& notes = plans.numeric_notes.at(place);
    const auto has = [&](Note note) {
      return std::find(notes.begin(), notes.end(), note) != notes.end();
    };
    return {.tensor_core = has(Note::TENSOR_CORE),
            .rounds_inputs = has(Note::DOWN_CONVERT_INPUTS),
            .narrow_sums = has(Note::REDUCED_PRECISION_REDUCTION),
            .nondeterministic = has(Note::NONDETERMINISTIC)};
  }
};

}  // namespace

struct ConvGraph::Parts {
  ConvProblem problem;
  PlannedGraph graph;
  std::unordered_map<std::int64_t, void*> pointers;  // kept, so that a step makes no map
};

ConvGraph::ConvGraph(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ConvGraph::ConvGraph(ConvGraph&&) noexcept = default;
ConvGraph& ConvGraph::operator=(ConvGraph&&) noexcept = default;
ConvGraph::~ConvGraph() = default;

ConvGraph ConvGraph::make(const ConvProblem& problem, cudnnHandle_t handle,
                          const std::string* description) {
  auto parts = std::make_unique<Parts>();
  parts->problem = problem;
  Graph& graph = parts->graph;
  if (description != nullptr) {
    const auto device = std::make_shared<fe::DeviceProperties>();
    const std::vector<std::uint8_t> bytes(description->begin(), description->end());
    require(device->deserialize(bytes), problem, "reading the device's description");
    graph.set_device_properties(device);
  }
  graph.set_io_data_type(type_of(problem.dtype));
  graph.set_intermediate_data_type(fe::DataType_t::FLOAT);
  graph.set_compute_data_type(fe::DataType_t::FLOAT);
  if (problem.pass == ConvPass::forward)
    add_forward(graph, problem);
  else if (problem.pass == ConvPass::input_gradient)
    add_input_gradient(graph, problem);
  else
    add_filter_gradient(graph, problem);
  require(graph.validate(), problem, "its graph");
  require(
      description == nullptr ? graph.build_operation_graph(handle) : graph.build_operation_graph(),
      problem, "its operations");
  // A mode that has nothing is no error while another has.
  require(graph.create_execution_plans(
              {fe::HeurMode_t::A, fe::HeurMode_t::B, fe::HeurMode_t::FALLBACK}),
          problem, "its plans");
  graph.deselect_workspace_greater_than(std::int64_t{kMostWorkspaceBytes});
  ConvGraph made(std::move(parts));
  made.keep_fit_plans();
  return made;
}

void ConvGraph::keep_fit_plans() {
  const std::vector<ConvPlan> supported = parts_->graph.supported();
  candidates_ = fit_plans(supported, parts_->problem);
  if (candidates_.empty())
    throw Error(ErrorKind::unsupported, key_of(parts_->problem),
                "none of its " + std::to_string(parts_->graph.get_execution_plan_count()) +
                    " plans is fit; " + std::to_string(supported.size()) +
                    " are supported within the workspace");
}

int ConvGraph::place_of(int candidate) const {
  return candidates_.at(static_cast<std::size_t>(candidate)).place;
}

ConvGraph ConvGraph::on_device(const ConvProblem& problem, cudnnHandle_t handle) {
  return make(problem, handle, nullptr);
}

ConvGraph ConvGraph::on_description(const ConvProblem& problem, const std::string& description) {
  return make(problem, nullptr, &description);
}

bool ConvGraph::build(int candidate) {
  return parts_->graph.build_plan_at_index(place_of(candidate)).is_good();
}

std::size_t ConvGraph::workspace_bytes(int candidate) const {
  std::int64_t size_bytes = 0;
  require(parts_->graph.get_workspace_size_plan_at_index(place_of(candidate), size_bytes),
          parts_->problem, "workspace");
  return static_cast<std::size_t>(size_bytes);
}

void ConvGraph::run(cudnnHandle_t handle, int candidate, const ConvMemory& memory,
                    void* workspace) {
  auto& pointers = parts_->pointers;
  pointers[kImage] = memory.image;
  pointers[kFilter] = memory.filter;
  pointers[kOutput] = memory.output;
  if (memory.bias != nullptr) pointers[kBias] = memory.bias;
  fe::error_t status =
      parts_->graph.execute_plan_at_index(handle, pointers, workspace, place_of(candidate));
  if (status.is_bad())
    throw Error(ErrorKind::io, key_of(parts_->problem),
                "cuDNN did not run it: " + printable(status.get_message()));
}

}  // namespace kiln::cudnn
