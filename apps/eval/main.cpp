// kiln-eval: how good a model is on a data set.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "apps/common/app_main.h"
#include "apps/common/environment.h"
#include "apps/common/options.h"
#include "apps/eval/output.h"

namespace kiln {
namespace {

struct EvalOptions {
  std::string model, data, report, split = "test", tta = "none";
  std::int64_t batch_size = 256;
  bool json = false, resize = false;
  CommonOptions common;
};

EvalOptions parse(int argc, char** argv) {
  EvalOptions o;
  CLI::App app("Loss, accuracy and confusion matrix of a model on a data set", "kiln eval");
  app.add_option("model", o.model, "Model directory, as kiln train writes it")->required();
  app.add_option("--data", o.data, "Data set: a folder or an archive")->required();
  app.add_option("--split", o.split, "Which pictures: test or train")
      ->check(CLI::IsMember({"test", "train"}))
      ->capture_default_str();
  app.add_option("--batch-size", o.batch_size, "Pictures computed at once")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  app.add_option("--tta", o.tta,
                 "Views of each picture whose class scores are averaged: none, mirror (2) or "
                 "translate (6)")
      ->check(CLI::IsMember({"none", "mirror", "translate"}))
      ->capture_default_str();
  app.add_flag("--resize", o.resize, "Resize the data's pictures to the model's input");
  app.add_flag("--json", o.json, "Print one JSON object instead of tables");
  app.add_option("--report", o.report, "Also write a page with pictures to this HTML file");
  add_common_options(app, o.common);
  add_math_option(app, o.common);
  parse_flags(app, argc, argv);
  return o;
}

void write_report(const EvalOptions& o, const EvaluationSubject& subject, const Scores& scores,
                  Context& context, Conv2dProviders& providers) {
  BatchRunner runner(subject.model, context, providers, 1, subject.views);
  ReportData report = to_report(subject, scores, runner);
  report.device = to_string(context.device());
  report.thread_count = context.pool().thread_count();
  for (auto& [key, value] : environment_info(context.pool().thread_count()))
    report.environment.push_back({key, value});
  write_html_report(o.report, report);
  context.log().info("wrote " + printable(o.report));
}

int run(int argc, char** argv) {
  const EvalOptions o = parse(argc, argv);
  Log log(stderr, log_level(o.common));
  ThreadPool pool(thread_count(o.common));
  Context context(choose_device(o.common, log), pool, log, o.common.deterministic);
  const auto model = load_model(o.model, DType::f32, context.device(),
                                choose_storage(o.common, context.device(), log));
  const Split split = o.split == "train" ? Split::train : Split::test;
  LoadOptions load;
  if (o.resize) load.resize = ImageSize{model->card.input_height, model->card.input_width};
  const Dataset data = load_dataset(o.data, split, log, pool, load);
  check_subject(*model, o.model, data, log);
  Conv2dProviders providers = make_conv2d_providers(o.common, context.device(), log);
  const Scores scores = score(*model, o.model, data, context, providers,
                              {.batch_size = o.batch_size, .views = parse_test_views(o.tta)});
  const EvaluationSubject subject{o.model, *model, data, split, parse_test_views(o.tta)};
  if (!o.report.empty()) write_report(o, subject, scores, context, providers);
  const std::string text = o.json ? to_json(subject, scores) : to_table(subject, scores);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) { return kiln::run_app("kiln eval", argc, argv, kiln::run); }
