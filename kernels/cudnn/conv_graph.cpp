#include "kernels/cudnn/conv_graph.h"

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

// What makes a plan unfit, however fast it is.
std::vector<fe::NumericalNote_t> unfit_notes(const ConvProblem& problem) {
  using Note = fe::NumericalNote_t;
  std::vector<Note> notes{Note::DOWN_CONVERT_INPUTS, Note::REDUCED_PRECISION_REDUCTION};
  if (problem.dtype == DType::f32 && problem.math == FloatMath::fp32)
    notes.push_back(Note::TENSOR_CORE);
  if (problem.deterministic) notes.push_back(Note::NONDETERMINISTIC);
  return notes;
}

}  // namespace

struct ConvGraph::Parts {
  ConvProblem problem;
  Graph graph;
  std::vector<std::string> names;
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
  require(graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK}), problem,
          "its plans");
  graph.deselect_numeric_notes(unfit_notes(problem));
  graph.deselect_workspace_greater_than(std::int64_t{kMostWorkspaceBytes});
  require(graph.check_support(), problem, "support");
  for (std::int64_t place = 0; place < graph.get_execution_plan_count(); ++place)
    require(graph.get_plan_name_at_index(place, parts->names.emplace_back()), problem, "a name");
  return ConvGraph(std::move(parts));
}

ConvGraph ConvGraph::on_device(const ConvProblem& problem, cudnnHandle_t handle) {
  return make(problem, handle, nullptr);
}

ConvGraph ConvGraph::on_description(const ConvProblem& problem, const std::string& description) {
  return make(problem, nullptr, &description);
}

const std::vector<std::string>& ConvGraph::candidates() const { return parts_->names; }

bool ConvGraph::build(int candidate) {
  return parts_->graph.build_plan_at_index(candidate).is_good();
}

std::size_t ConvGraph::workspace_bytes(int candidate) const {
  std::int64_t size_bytes = 0;
  require(parts_->graph.get_workspace_size_plan_at_index(candidate, size_bytes), parts_->problem,
          "workspace");
  return static_cast<std::size_t>(size_bytes);
}

void ConvGraph::run(cudnnHandle_t handle, int candidate, const ConvMemory& memory,
                    void* workspace) {
  auto& pointers = parts_->pointers;
  pointers[kImage] = memory.image;
  pointers[kFilter] = memory.filter;
  pointers[kOutput] = memory.output;
  if (memory.bias != nullptr) pointers[kBias] = memory.bias;
  fe::error_t status = parts_->graph.execute_plan_at_index(handle, pointers, workspace, candidate);
  if (status.is_bad())
    throw Error(ErrorKind::io, key_of(parts_->problem),
                "cuDNN did not run it: " + printable(status.get_message()));
}

}  // namespace kiln::cudnn
