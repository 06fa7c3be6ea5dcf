#include "apps/inspect/output.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/common/text.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

// Multiply-adds in millions of floating-point operations, two to a multiply-add.
double mflop(std::int64_t multiply_count) { return 2e-6 * static_cast<double>(multiply_count); }

std::string shape_text(const Shape& shape) {
  std::string text;
  for (const std::int64_t extent : shape.extents())
    text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text;
}

std::string card_lines(const ModelCard& card) {
  std::string classes;
  for (std::size_t i = 0; i < std::min<std::size_t>(card.classes.size(), 12); ++i)
    classes += (i == 0 ? "" : ", ") + printable(card.classes[i], 40);
  if (card.classes.size() > 12) classes += ", ...";
  std::string text = "classes     " + classes + "\n";
  text += "trained on  " + printable(card.data_name) +
          (card.synthetic ? " (SYNTHETIC: drawn stand-in pictures)" : "");
  if (card.accuracy) text += ", test accuracy " + percent_text(*card.accuracy);
  return text + "\n";
}

std::string layer_table(const Anatomy& anatomy) {
  std::size_t name_width = 5, text_width = 8, shape_width = 6;
  for (const LayerRow& row : anatomy.layers) {
    name_width = std::max(name_width, width_of(row.name) + 2 * static_cast<std::size_t>(row.depth));
    text_width = std::max(text_width, width_of(row.description));
    shape_width = std::max(shape_width, shape_text(row.output).size());
  }
  name_width = std::min<std::size_t>(name_width, 32);
  text_width = std::min<std::size_t>(text_width, 90);
  const auto line = [&](const std::string& name, const std::string& shape, const std::string& count,
                        const std::string& work, const std::string& text) {
    return left(name, name_width) + "  " + left(shape, shape_width) + right(count, 13) +
           right(work, 11) + "  " + printable(text, text_width) + "\n";
  };
  std::string table = line("layer", "output", "parameters", "MFLOP", "computed as");
  for (const LayerRow& row : anatomy.layers)
    table += line(
        std::string(2 * static_cast<std::size_t>(row.depth), ' ') + row.name,
        shape_text(row.output), row.parameter_count == 0 ? "-" : grouped_text(row.parameter_count),
        row.multiply_count == 0 ? "-" : fixed_text(mflop(row.multiply_count), 3), row.description);
  return table + line("total", "", grouped_text(anatomy.parameter_count),
                      fixed_text(mflop(anatomy.multiply_count), 3),
                      "forward, one picture; convolutions and linear layers");
}

std::string memory_lines(const Anatomy& a) {
  const auto plan_line = [](const char* name, const MemoryPlan& plan) {
    return std::string(name) + right(bytes_text(plan.arena_bytes), 12) + "  (" +
           bytes_text(plan.separate_bytes) + " without sharing), scratch " +
           bytes_text(plan.scratch_bytes) + "\n";
  };
  std::string text = "memory for a batch of " + std::to_string(a.batch_size) + ":\n";
  text += plan_line("  activations, training   ", a.training);
  text += plan_line("  activations, inference  ", a.inference);
  text += "  parameters              " + right(bytes_text(a.value_bytes), 12);
  if (a.statistic_bytes > 0)
    text += "  and " + bytes_text(a.statistic_bytes) + " of running statistics";
  text += "\n  gradients               " + right(bytes_text(a.value_bytes), 12);
  text += "\n  optimizer               " + right(bytes_text(a.value_bytes), 12) +
          "  SGD with momentum; twice that for Adam, AdamW and Adadelta\n";
  return text;
}

nlohmann::ordered_json plan_json(const MemoryPlan& plan) {
  return {{"arena_bytes", plan.arena_bytes},
          {"separate_bytes", plan.separate_bytes},
          {"scratch_bytes", plan.scratch_bytes}};
}

}  // namespace

std::string to_table(const ModelSpec& spec, const ModelCard* card, const Anatomy& anatomy,
                     bool with_plans) {
  std::string text = "network     " + printable(spec.name) + ", pictures of " +
                     std::to_string(spec.width) + "x" + std::to_string(spec.height) + "x" +
                     std::to_string(spec.channels) + ", " + std::to_string(spec.class_count) +
                     " classes\n";
  if (card != nullptr) text += card_lines(*card);
  text += "\n" + layer_table(anatomy) + "\n" + memory_lines(anatomy);
  if (with_plans)
    text += "\ntraining plan:\n" + to_table(anatomy.training) + "\ninference plan:\n" +
            to_table(anatomy.inference);
  return text;
}

std::string to_json(const ModelSpec& spec, const ModelCard* card, const Anatomy& anatomy) {
  nlohmann::ordered_json json;
  json["name"] = spec.name;
  json["input"] = {{"height", spec.height}, {"width", spec.width}, {"channels", spec.channels}};
  json["class_count"] = spec.class_count;
  if (card != nullptr) {
    json["classes"] = card->classes;
    json["accuracy"] = nullptr;
    if (card->accuracy) json["accuracy"] = *card->accuracy;
  }
  json["parameters"] = anatomy.parameter_count;
  json["multiply_adds"] = anatomy.multiply_count;
  json["layers"] = nlohmann::ordered_json::array();
  for (const LayerRow& row : anatomy.layers) {
    const auto output = row.output.extents();
    json["layers"].push_back({{"name", row.name},
                              {"depth", row.depth},
                              {"description", row.description},
                              {"output", std::vector<std::int64_t>(output.begin(), output.end())},
                              {"parameters", row.parameter_count},
                              {"multiply_adds", row.multiply_count}});
  }
  json["batch_size"] = anatomy.batch_size;
  json["memory"] = {{"training", plan_json(anatomy.training)},
                    {"inference", plan_json(anatomy.inference)},
                    {"parameter_bytes", anatomy.value_bytes},
                    {"gradient_bytes", anatomy.value_bytes},
                    {"sgd_momentum_bytes", anatomy.value_bytes},
                    {"running_statistic_bytes", anatomy.statistic_bytes}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace kiln
