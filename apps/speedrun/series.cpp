#include "apps/speedrun/series.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/core/error.h"

namespace kiln {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "kiln-speedrun-1";
constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;

constexpr const char* kInside[] = {
    "preparation: measuring normalisation constants and whitening filters where the recipe has "
    "them",
    "every epoch of training: shuffling, augmentation, normalisation, forward, loss, backward and "
    "update",
    "one evaluation of the whole test set with the recipe's views, up to the count of hits"};
constexpr const char* kOutside[] = {
    "reading the data set into memory, and on a GPU sending it there",
    "planning and allocating memory, choosing algorithms and drawing weights, before each run",
    "evaluations between the epochs: there are none",
    "writing results; a warm-up run: there is none"};

constexpr RunNumber kNumbers[] = {
    {"accuracy", "accuracy", [](const RunResult& r) { return r.accuracy; }, 100, 3, "%"},
    {"seconds", "seconds", [](const RunResult& r) { return r.seconds(); }, 1, 3, "s"},
    {"preparation_seconds", "  preparation",
     [](const RunResult& r) { return r.preparation_seconds; }, 1, 3, "s"},
    {"training_seconds", "  epochs", [](const RunResult& r) { return r.training_seconds(); }, 1, 3,
     "s"},
    {"evaluation_seconds", "  evaluation", [](const RunResult& r) { return r.evaluation_seconds; },
     1, 3, "s"},
    {"trained_images_per_second", "training",
     [](const RunResult& r) { return r.images_per_second(); }, 1, 1, "images/s"}};

Json object_of(const NamedTexts& texts) {
  Json json = Json::object();
  for (const auto& [name, text] : texts) json[name] = text;
  return json;
}
NamedTexts texts_of(const Json& json) {
  NamedTexts texts;
  for (const auto& [name, text] : json.items()) texts.emplace_back(name, text.get<std::string>());
  return texts;
}

Json json_of(const RunResult& run) {
  return {{"seed", run.seed},
          {"accuracy", run.accuracy},
          {"hits", run.hit_count},
          {"images", run.image_count},
          {"loss", run.loss},
          {"train_loss", run.train_loss},
          {"trained_images", run.trained_images},
          {"seconds", run.seconds()},
          {"sections",
           {{"preparation", run.preparation_seconds},
            {"epochs", run.epoch_seconds},
            {"evaluation", run.evaluation_seconds}}},
          {"cpu_mhz", {{"before", run.cpu_mhz_before}, {"after", run.cpu_mhz_after}}}};
}
RunResult run_of(const Json& json) {
  const Json& sections = json.at("sections");
  return {.seed = json.at("seed").get<std::uint64_t>(),
          .accuracy = json.at("accuracy").get<double>(),
          .loss = json.at("loss").get<double>(),
          .hit_count = json.at("hits").get<std::int64_t>(),
          .image_count = json.at("images").get<std::int64_t>(),
          .train_loss = json.at("train_loss").get<double>(),
          .trained_images = json.at("trained_images").get<std::int64_t>(),
          .preparation_seconds = sections.at("preparation").get<double>(),
          .epoch_seconds = sections.at("epochs").get<std::vector<double>>(),
          .evaluation_seconds = sections.at("evaluation").get<double>(),
          .cpu_mhz_before = json.at("cpu_mhz").at("before").get<double>(),
          .cpu_mhz_after = json.at("cpu_mhz").at("after").get<double>()};
}

Json json_of(const Statistic& s) {
  return {{"mean", s.mean}, {"standard_deviation", s.deviation}, {"standard_error", s.error}};
}

Json summary_of(const Series& series) {
  Json json = {{"runs", series.runs.size()}};
  for (const RunNumber& number : kNumbers) json[number.key] = json_of(statistic_of(series, number));
  return json;
}

void check_equal(const NamedTexts& found, const NamedTexts& wanted, const Path& path) {
  const auto value_in = [](const NamedTexts& texts, const std::string& name) {
    for (const auto& [key, text] : texts)
      if (key == name) return text;
    return std::string("not there");
  };
  for (const NamedTexts* names : {&wanted, &found})
    for (const auto& [name, text] : *names) {
      const std::string theirs = value_in(found, name), ours = value_in(wanted, name);
      if (theirs != ours)
        throw Error(ErrorKind::input, path.string(),
                    "holds runs whose " + printable(name) + " is " + printable(theirs) + ", not " +
                        printable(ours),
                    "name another --json file");
    }
}

}  // namespace

double RunResult::training_seconds() const {
  return std::accumulate(epoch_seconds.begin(), epoch_seconds.end(), 0.0);
}
double RunResult::images_per_second() const {
  return static_cast<double>(trained_images) / training_seconds();
}
double RunResult::seconds() const {
  return preparation_seconds + training_seconds() + evaluation_seconds;
}

Statistic statistic_of(std::span<const double> values) {
  Statistic s;
  const auto n = static_cast<double>(values.size());
  if (values.empty()) return s;
  for (const double value : values) s.mean += value / n;
  if (values.size() < 2) return s;
  double squares = 0.0;
  for (const double value : values) squares += (value - s.mean) * (value - s.mean);
  s.deviation = std::sqrt(squares / (n - 1));
  s.error = s.deviation / std::sqrt(n);
  return s;
}

std::span<const RunNumber> run_numbers() { return kNumbers; }

Statistic statistic_of(const Series& series, const RunNumber& number) {
  std::vector<double> values;
  values.reserve(series.runs.size());
  for (const RunResult& run : series.runs) values.push_back(number.of(run));
  return statistic_of(values);
}

std::span<const char* const> inside_the_clock() { return kInside; }
std::span<const char* const> outside_the_clock() { return kOutside; }

std::string to_json(const Series& series) {
  Json json = {{"format", kFormat},
               {"settings", object_of(series.settings)},
               {"environment", object_of(series.environment)},
               {"clock", {{"inside", kInside}, {"outside", kOutside}}},
               {"summary", summary_of(series)},
               {"runs", Json::array()}};
  for (const RunResult& run : series.runs) json["runs"].push_back(json_of(run));
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Series read_series(const Path& path) {
  const std::string text = read_text_file(path, kMostBytes);
  try {
    const Json json = Json::parse(text);
    if (json.at("format").get<std::string>() == kFormat) {
      Series series{.settings = texts_of(json.at("settings")),
                    .environment = texts_of(json.at("environment"))};
      for (const Json& run : json.at("runs")) series.runs.push_back(run_of(run));
      return series;
    }
  } catch (const Json::exception&) {
    // The error below says what is wrong.
  }
  throw Error(ErrorKind::input, path.string(), "is no series of kiln speedrun",
              "name another --json file");
}

void check_same(const Series& found, const Series& wanted, const Path& path) {
  check_equal(found.settings, wanted.settings, path);
  check_equal(found.environment, wanted.environment, path);
}

}  // namespace kiln
