#include "models/model_card.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "models/json_strict.h"

namespace kiln {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kFormat = "kiln-model";
constexpr std::uint64_t kLimitBytes = std::uint64_t{1} << 20;
constexpr std::int64_t kMaxImageEdge = 1 << 16;
constexpr std::int64_t kMaxChannels = 4096;

struct ModeName {
  std::string_view name;
  NormalisationMode mode;
};
constexpr std::array<ModeName, 3> kModeNames{{{"constants", NormalisationMode::constants},
                                              {"measured", NormalisationMode::measured},
                                              {"per-image", NormalisationMode::per_image}}};

// One JSON object with a known set of keys, and the path that names it in errors.
class Section {
 public:
  Section(const Json& value, std::string_view thing, std::string path,
          std::initializer_list<std::string_view> known)
      : value_(value), thing_(thing), path_(std::move(path)) {
    if (!value.is_object()) fail("", "must be an object");
    for (const auto& item : value.items())
      if (std::find(known.begin(), known.end(), item.key()) == known.end())
        fail(printable(item.key()), "is not a key that kiln knows");
  }

  const Json& at(std::string_view key) const {
    const auto found = value_.find(key);
    if (found == value_.end()) fail(key, "is missing");
    return *found;
  }

  std::string text(std::string_view key) const {
    if (!at(key).is_string()) fail(key, "must be a text");
    return at(key).get<std::string>();
  }

  bool flag(std::string_view key) const {
    if (!at(key).is_boolean()) fail(key, "must be true or false");
    return at(key).get<bool>();
  }

  std::int64_t count(std::string_view key, std::int64_t limit) const {
    const Json& value = at(key);
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() < 1 ||
        value.get<std::uint64_t>() > static_cast<std::uint64_t>(limit))
      fail(key, "must be a whole number from 1 to " + std::to_string(limit));
    return value.get<std::int64_t>();
  }

  std::vector<double> numbers(std::string_view key) const {
    const Json& array = at(key);
    std::vector<double> out;
    if (!array.is_array()) fail(key, "must be an array of numbers");
    for (const Json& item : array) {
      if (!item.is_number()) fail(key, "must be an array of numbers");
      out.push_back(item.get<double>());
    }
    return out;
  }

  std::uint64_t whole(std::string_view key) const {
    if (!at(key).is_number_unsigned()) fail(key, "must be a whole number");
    return at(key).get<std::uint64_t>();
  }

  // Of an array of objects; none where there is no such key.
  std::vector<Section> sections(std::string_view key,
                                std::initializer_list<std::string_view> known) const {
    std::vector<Section> out;
    if (!value_.contains(key)) return out;
    if (!at(key).is_array()) fail(key, "must be an array of objects");
    for (const Json& item : at(key))
      out.emplace_back(item, thing_, full_name(key) + "[" + std::to_string(out.size()) + "]",
                       known);
    return out;
  }

  Section section(std::string_view key, std::initializer_list<std::string_view> known) const {
    return {at(key), thing_, full_name(key), known};
  }

  [[noreturn]] void fail(std::string_view key, const std::string& wrong) const {
    const std::string name = full_name(key);
    throw Error(ErrorKind::input, thing_,
                (name.empty() ? "the document" : "\"" + name + "\"") + " " + wrong);
  }

 private:
  std::string full_name(std::string_view key) const {
    return path_ + (path_.empty() || key.empty() ? "" : ".") + std::string(key);
  }

  const Json& value_;
  std::string_view thing_;
  std::string path_;
};

void check_version(const Section& top) {
  if (top.text("format") != kFormat) top.fail("format", "must be \"" + std::string(kFormat) + "\"");
  const std::int64_t version = top.count("version", std::int64_t{1} << 31);
  if (version != ModelCard::kVersion)
    top.fail("version", "is " + std::to_string(version) + "; this kiln reads version " +
                            std::to_string(ModelCard::kVersion));
}

std::vector<std::string> classes_of(const Section& top) {
  const Json& array = top.at("classes");
  std::vector<std::string> classes;
  if (!array.is_array() || array.empty()) top.fail("classes", "must be an array of texts");
  for (const Json& item : array) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty())
      top.fail("classes", "must be an array of texts");
    classes.push_back(item.get<std::string>());
  }
  const std::set<std::string_view> distinct(classes.begin(), classes.end());
  if (distinct.size() != classes.size()) top.fail("classes", "names a class twice");
  return classes;
}

void read_normalisation(const Section& top, ModelCard& card) {
  const Section section = top.section("normalisation", {"mode", "mean", "std"});
  const std::string mode = section.text("mode");
  const auto found = std::find_if(kModeNames.begin(), kModeNames.end(),
                                  [&](const ModeName& entry) { return entry.name == mode; });
  if (found == kModeNames.end())
    section.fail("mode", "must be \"constants\", \"measured\" or \"per-image\"");
  card.normalisation = found->mode;
  card.mean = section.numbers("mean");
  card.std = section.numbers("std");
  const auto wanted = found->mode == NormalisationMode::per_image
                          ? 0
                          : static_cast<std::size_t>(card.input_channels);
  const std::string needs = "must have " + std::to_string(wanted) + " numbers";
  if (card.mean.size() != wanted) section.fail("mean", needs);
  if (card.std.size() != wanted) section.fail("std", needs);
  if (!std::all_of(card.std.begin(), card.std.end(), [](double value) { return value > 0.0; }))
    section.fail("std", "must be above zero");
}

// Names without a folder: a card never speaks of files elsewhere.
std::vector<FileDigest> files_of(const Section& top) {
  std::vector<FileDigest> files;
  for (const Section& entry : top.sections("files", {"name", "bytes", "sha256"})) {
    FileDigest file{
        .name = entry.text("name"), .bytes = entry.whole("bytes"), .sha256 = entry.text("sha256")};
    if (file.name.empty() || file.name == "." || file.name == ".." ||
        file.name.find_first_of(std::string_view("/\0", 2)) != file.name.npos)
      entry.fail("name", "must be the name of a file in the same folder");
    if (!is_sha256(file.sha256)) entry.fail("sha256", "must be 64 digits, 0-9 and a-f");
    files.push_back(std::move(file));
  }
  return files;
}

std::optional<double> accuracy_of(const Section& top) {
  const Json& value = top.at("accuracy");
  if (value.is_null()) return {};
  if (!value.is_number() || value.get<double>() < 0.0 || value.get<double>() > 1.0)
    top.fail("accuracy", "must be null or a number from 0 to 1");
  return value.get<double>();
}

}  // namespace

ModelCard parse_model_card(std::string_view text, std::string_view thing) {
  const Json document = parse_json_strict(text, thing);
  const Section top(document, thing, "",
                    {"format", "version", "name", "spec", "classes", "input", "normalisation",
                     "accuracy", "data", "files"});
  check_version(top);
  ModelCard card;
  card.name = top.text("name");
  if (!top.at("spec").is_object()) top.fail("spec", "must be an object");
  card.spec = top.at("spec").dump();
  card.classes = classes_of(top);
  const Section input = top.section("input", {"height", "width", "channels"});
  card.input_height = input.count("height", kMaxImageEdge);
  card.input_width = input.count("width", kMaxImageEdge);
  card.input_channels = input.count("channels", kMaxChannels);
  read_normalisation(top, card);
  card.accuracy = accuracy_of(top);
  const Section data = top.section("data", {"name", "origin", "synthetic"});
  card.data_name = data.text("name");
  card.data_origin = data.text("origin");
  card.synthetic = data.flag("synthetic");
  card.files = files_of(top);
  return card;
}

std::string to_json(const ModelCard& card) {
  nlohmann::ordered_json out;
  out["format"] = kFormat;
  out["version"] = ModelCard::kVersion;
  out["name"] = card.name;
  out["spec"] = nlohmann::ordered_json::parse(card.spec);
  out["classes"] = card.classes;
  out["input"] = {{"height", card.input_height},
                  {"width", card.input_width},
                  {"channels", card.input_channels}};
  const auto mode = std::find_if(kModeNames.begin(), kModeNames.end(), [&](const ModeName& entry) {
    return entry.mode == card.normalisation;
  });
  out["normalisation"] = {{"mode", mode->name}, {"mean", card.mean}, {"std", card.std}};
  out["accuracy"] = nullptr;
  if (card.accuracy) out["accuracy"] = *card.accuracy;
  out["data"] = {
      {"name", card.data_name}, {"origin", card.data_origin}, {"synthetic", card.synthetic}};
  for (const FileDigest& file : card.files)
    out["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  return out.dump(2) + "\n";
}

ModelCard read_model_card(const Path& path) {
  return parse_model_card(read_text_file(path, kLimitBytes), path.string());
}

void write_model_card(const Path& path, const ModelCard& card) {
  const std::string text = to_json(card);
  // A card that kiln itself could not read back would be a bug in the caller.
  static_cast<void>(parse_model_card(text, path.string()));
  write_file_atomic(path, text);
}

}  // namespace kiln
