#include "apps/eval/output.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/common/text.h"

namespace kiln {
namespace {

constexpr std::int64_t kSamplesPerGrid = 20;
constexpr std::size_t kMaxNameWidth = 24;

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

struct ClassScore {
  std::int64_t count = 0, hit_count = 0;
};

ClassScore score_of(const Scores& scores, std::size_t label, std::size_t class_count) {
  ClassScore score;
  for (std::size_t k = 0; k < class_count; ++k)
    score.count += scores.total.confusion[label * class_count + k];
  score.hit_count = scores.total.confusion[label * class_count + label];
  return score;
}

std::string head_lines(const EvaluationSubject& subject, const Scores& scores) {
  const ModelCard& card = subject.model.card;
  const DatasetInfo& info = subject.data.info();
  std::string text = "model     " + printable(card.name) + ", " +
                     grouped_text(subject.model.parameters.trainable_count()) + " parameters\n";
  text += "data      " + printable(info.name) + " (" + std::string(name_of(subject.split)) + "), " +
          grouped_text(scores.total.image_count) + " pictures of " + std::to_string(info.width) +
          "x" + std::to_string(info.height) + "x" + std::to_string(info.channels) + "\n";
  if (info.synthetic) text += "          SYNTHETIC: drawn stand-in pictures, not photographs\n";
  if (subject.views != TestViews::none)
    text += "views     " + std::to_string(views_of(subject.views).size()) + " of each picture (" +
            std::string(name_of(subject.views)) + ")\n";
  text += "loss      " + fixed_text(scores.total.loss, 4) + "\n";
  text += "accuracy  " + percent_text(scores.total.accuracy()) + " (" +
          grouped_text(scores.total.hit_count) + " of " + grouped_text(scores.total.image_count) +
          ")\n";
  text += "speed     " + grouped_text(static_cast<std::int64_t>(scores.images_per_second())) +
          " images/s (" + fixed_text(scores.total.seconds, 2) + " s)\n";
  return text;
}

}  // namespace

std::string to_table(const EvaluationSubject& subject, const Scores& scores) {
  const auto& classes = subject.model.card.classes;
  std::size_t name_width = 5, count_width = 4;
  for (const std::string& name : classes)
    name_width = std::max(name_width, std::min(width_of(name), kMaxNameWidth));
  for (const std::int64_t count : scores.total.confusion)
    count_width = std::max(count_width, std::to_string(count).size());
  std::string text = head_lines(subject, scores);
  text += "\n" + left("class", name_width) + "  pictures     right   accuracy\n";
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const ClassScore score = score_of(scores, label, classes.size());
    text += left(classes[label], name_width) + right(grouped_text(score.count), 10) +
            right(grouped_text(score.hit_count), 10) +
            right(percent_text(ratio(score.hit_count, score.count)), 11) + "\n";
  }
  text += "\n" + left("", name_width) + "  predicted\n" + left("truth", name_width);
  for (const std::string& name : classes)
    text += " " + right(left(name, std::min(count_width, width_of(name))), count_width);
  for (std::size_t label = 0; label < classes.size(); ++label) {
    text += "\n" + left(classes[label], name_width);
    for (std::size_t k = 0; k < classes.size(); ++k)
      text += " " + right(std::to_string(scores.total.confusion[label * classes.size() + k]),
                          count_width);
  }
  return text + "\n";
}

std::string to_json(const EvaluationSubject& subject, const Scores& scores) {
  const auto& classes = subject.model.card.classes;
  nlohmann::ordered_json json;
  json["model"] = subject.model_name;
  json["data"] = {{"name", subject.data.info().name},
                  {"origin", subject.data.info().origin},
                  {"split", subject.split == Split::train ? "train" : "test"},
                  {"synthetic", subject.data.info().synthetic}};
  json["tta"] = name_of(subject.views);
  json["images"] = scores.total.image_count;
  json["loss"] = scores.total.loss;
  json["accuracy"] = scores.total.accuracy();
  json["hits"] = scores.total.hit_count;
  json["images_per_second"] = scores.images_per_second();
  json["seconds"] = scores.total.seconds;
  json["classes"] = nlohmann::ordered_json::array();
  json["confusion"] = nlohmann::ordered_json::array();
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const ClassScore score = score_of(scores, label, classes.size());
    json["classes"].push_back({{"name", classes[label]},
                               {"images", score.count},
                               {"hits", score.hit_count},
                               {"accuracy", ratio(score.hit_count, score.count)}});
    const auto row =
        scores.total.confusion.begin() + static_cast<std::ptrdiff_t>(label * classes.size());
    json["confusion"].push_back(
        std::vector<std::int64_t>(row, row + static_cast<std::ptrdiff_t>(classes.size())));
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

ReportData to_report(const EvaluationSubject& subject, const Scores& scores, BatchRunner& runner) {
  const DatasetInfo& info = subject.data.info();
  ReportData report;
  report.model_name = subject.model.card.name;
  report.data_name = info.name;
  report.synthetic = info.synthetic;
  report.class_names = subject.model.card.classes;
  report.confusion = scores.total.confusion;
  report.parameter_count = subject.model.parameters.trainable_count();
  report.configuration = {{"model", subject.model_name},
                          {"data", info.origin},
                          {"split", subject.split == Split::train ? "train" : "test"},
                          {"tta", std::string(name_of(subject.views))},
                          {"pictures", grouped_text(scores.total.image_count)},
                          {"loss", fixed_text(scores.total.loss, 4)},
                          {"accuracy", percent_text(scores.total.accuracy())},
                          {"images/s", fixed_text(scores.images_per_second(), 0)}};
  for (const std::int64_t i : choose_samples(scores, subject.data, kSamplesPerGrid)) {
    const auto pixels = subject.data.image(i);
    const std::int32_t label = subject.data.label(i);
    const Network& network = runner.run(pixels, std::span(&label, 1));
    report.samples.push_back({.picture = {.height = static_cast<int>(info.height),
                                          .width = static_cast<int>(info.width),
                                          .channel_count = static_cast<int>(info.channels),
                                          .pixels = {pixels.begin(), pixels.end()}},
                              .true_class = label,
                              .probabilities = probabilities(network.logits(), 0),
                              .name = std::to_string(i)});
  }
  return report;
}

}  // namespace kiln
