// kiln-inspect: what a network is made of, and what it costs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "apps/common/app_main.h"
#include "apps/common/options.h"
#include "apps/inspect/filters.h"
#include "apps/inspect/output.h"
#include "engine/core/error.h"
#include "models/zoo.h"

namespace kiln {
namespace {

struct InspectOptions {
  std::string subject, filters;
  std::int64_t batch_size = 64;
  bool memory = false, preview = false, json = false;
  CommonOptions common;
};

InspectOptions parse(int argc, char** argv) {
  InspectOptions o;
  CLI::App app("Layers, shapes, parameters, work and memory of a network", "kiln inspect");
  app.add_option("model", o.subject,
                 "A model directory, a network by name (" + known_models() + ") or a spec file")
      ->required();
  app.add_option("--batch-size", o.batch_size, "Batch that the memory is planned for")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  app.add_flag("--memory", o.memory, "Also print where every activation lies");
  app.add_option("--filters", o.filters, "Draw the first layer's filters into this PNG file");
  app.add_flag("--preview", o.preview, "Also print the first layer's filters as characters");
  app.add_flag("--json", o.json, "Print one JSON object instead of tables");
  add_common_options(app, o.common);
  parse_flags(app, argc, argv);
  return o;
}

bool is_spec_name(const std::string& subject) {
  return std::ranges::count(model_names(), subject) > 0 || subject.ends_with(".json");
}

// A bare network becomes a model without a card: its weights are zero.
std::unique_ptr<Model> find_subject(const std::string& subject, Device device, bool& trained) {
  trained = std::filesystem::is_directory(subject);
  if (trained) return load_model(subject, DType::f32, device);
  if (!is_spec_name(subject))
    throw Error(ErrorKind::usage, printable(subject),
                "is no model directory, no known network and no spec file",
                "known are " + known_models() + "; a spec file ends in .json");
  const ModelSpec spec = find_model(subject, 0);
  return std::make_unique<Model>(Model{{}, spec, {}, ParameterStore(spec, DType::f32, device)});
}

int run(int argc, char** argv) {
  const InspectOptions o = parse(argc, argv);
  Log log(stderr, log_level(o.common));
  // The tables name every algorithm; the log would say it all again.
  Log quiet(stderr, log.level() == LogLevel::debug ? LogLevel::debug : LogLevel::quiet);
  ThreadPool pool(thread_count(o.common));
  Context context(choose_device(o.common, log), pool, quiet, o.common.deterministic);
  bool trained = false;
  const auto model = find_subject(o.subject, context.device(), trained);
  if (!trained && (o.preview || !o.filters.empty()))
    throw Error(ErrorKind::usage, o.preview ? "--preview" : "--filters",
                printable(o.subject) + " has no trained weights", "name a model directory");
  Conv2dProviders providers = make_conv2d_providers(o.common, context.device(), quiet);
  const Anatomy anatomy = dissect(model->spec, model->parameters, context, providers, o.batch_size);
  const ModelCard* card = trained ? &model->card : nullptr;
  std::string text =
      o.json ? to_json(model->spec, card, anatomy) : to_table(model->spec, card, anatomy, o.memory);
  if (o.preview && !o.json) text += "\nfirst layer:\n" + filter_preview(*model, o.subject);
  if (!o.filters.empty()) write_png(o.filters, filter_picture(*model, o.subject));
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (!o.filters.empty()) log.info("wrote " + printable(o.filters));
  return 0;
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) { return kiln::run_app("kiln inspect", argc, argv, kiln::run); }
