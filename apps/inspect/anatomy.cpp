#include "apps/inspect/anatomy.h"

#include <numeric>

#include "engine/train/chain.h"

namespace kiln {
namespace {

Shape of_one_picture(const Shape& shape) { return Shape(shape.extents().subspan(1)); }

class RowCollector {
 public:
  RowCollector(const ParameterStore& parameters, std::vector<LayerRow>& rows)
      : parameters_(parameters), rows_(rows) {}

  // Walks the layers beside the entries of the spec that they came from: a layer has the name of
  // its first entry and covers all up to the next layer's. A flatten has no layer of its own.
  void collect(const Chain& chain, const std::vector<LayerSpec>& specs, Shape shape, int depth) {
    std::size_t at = 0;
    for (std::size_t i = 0; i < chain.layers().size(); ++i) {
      const Layer& layer = *chain.layers()[i];
      while (at < specs.size() && specs[at].name != layer.name())
        shape = output_shape(specs[at++], shape);
      const std::string next = i + 1 < chain.layers().size() ? chain.layers()[i + 1]->name() : "";
      const std::size_t row = rows_.size();
      rows_.push_back({.name = layer.name(), .description = layer.description(), .depth = depth});
      const Shape input = shape;
      const LayerSpec* first = at < specs.size() ? &specs[at] : nullptr;
      do {
        if (at >= specs.size()) break;
        cover(specs[at], shape, rows_[row]);
        shape = output_shape(specs[at], shape);
      } while (++at < specs.size() && specs[at].name != next);
      if (const auto* residual = dynamic_cast<const Residual*>(&layer); residual && first) {
        collect(residual->body(), first->body, input, depth + 1);
        collect(residual->shortcut(), first->shortcut, input, depth + 1);
      }
    }
  }

 private:
  void cover(const LayerSpec& spec, const Shape& input, LayerRow& row) const {
    row.parameter_count += parameters_of(spec);
    row.multiply_count += multiply_count(spec, input);
    if (spec.kind != LayerKind::flatten) row.output = of_one_picture(output_shape(spec, input));
  }

  std::int64_t parameters_of(const LayerSpec& spec) const {
    std::int64_t count = 0;
    for (const char* suffix : {".weight", ".bias"})
      if (parameters_.contains(spec.name + suffix))
        count += parameters_.find(spec.name + suffix).shape.element_count();
    for (const auto* path : {&spec.body, &spec.shortcut})
      for (const LayerSpec& inner : *path) count += parameters_of(inner);
    return count;
  }

  const ParameterStore& parameters_;
  std::vector<LayerRow>& rows_;
};

}  // namespace

Anatomy dissect(const ModelSpec& spec, const ParameterStore& parameters, Context& context,
                Conv2dProviders& providers, std::int64_t batch_size) {
  Anatomy anatomy{.batch_size = batch_size, .parameter_count = parameters.trainable_count()};
  const Network training(spec, parameters, context, providers, {.batch_size = batch_size});
  const Network inference(spec, parameters, context, providers,
                          {.batch_size = batch_size, .training = false});
  anatomy.training = training.memory().plan();
  anatomy.inference = inference.memory().plan();
  RowCollector(parameters, anatomy.layers)
      .collect(training.chain(), spec.layers, {1, spec.height, spec.width, spec.channels}, 0);
  for (const LayerRow& row : anatomy.layers)
    if (row.depth == 0) anatomy.multiply_count += row.multiply_count;
  anatomy.value_bytes = parameters.flat_values().size_bytes();
  for (const Parameter& p : parameters.all())
    if (!p.trainable()) anatomy.statistic_bytes += p.value.size_bytes();
  return anatomy;
}

}  // namespace kiln
