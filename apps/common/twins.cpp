#include "apps/common/twins.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <unistd.h>

#include "apps/common/options.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

constexpr std::string_view kPrefix = "KILN_";

// What Kubernetes and Docker set to tell where a service is.
bool is_service_link(std::string_view name, std::string_view value) {
  const bool address =
      value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
  const bool part =
      (name.ends_with("_ADDR") || name.ends_with("_PORT") || name.ends_with("_PROTO")) &&
      (name.find("_TCP_") != name.npos || name.find("_UDP_") != name.npos);
  return address || part || name.ends_with("_SERVICE_HOST") ||
         name.find("_SERVICE_PORT") != name.npos;
}

// Options that are settings: not --help, not arguments without a name.
std::vector<CLI::Option*> settings_of(CLI::App& app) {
  std::vector<CLI::Option*> settings;
  for (CLI::Option* option : app.get_options())
    if (option != app.get_help_ptr() && option->get_configurable() && !option->get_lnames().empty())
      settings.push_back(option);
  return settings;
}

bool is_switch(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

// A switch is on or off in the words that people write.
std::string switch_value(const std::string& variable, std::string value) {
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return std::tolower(c); });
  if (value == "1" || value == "true" || value == "yes" || value == "on") return "true";
  if (value == "0" || value == "false" || value == "no" || value == "off") return "false";
  throw Error(ErrorKind::usage, variable, "cannot be " + printable(value), "write true or false");
}

}  // namespace

std::string twin_of(std::string_view flag) {
  std::string name(kPrefix);
  for (const char c : flag)
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

std::vector<std::string> environment() {
  std::vector<std::string> lines;
  for (char** at = ::environ; at != nullptr && *at != nullptr; ++at) lines.emplace_back(*at);
  return lines;
}

Twins::Twins(std::span<const std::string> environment, std::vector<std::string> others)
    : others_(std::move(others)) {
  for (const std::string& line : environment)
    if (const std::size_t equals = line.find('='); equals != line.npos) {
      std::string name = line.substr(0, equals), value = line.substr(equals + 1);
      if (!name.starts_with(kPrefix) || !is_service_link(name, value))
        variables_.emplace(std::move(name), std::move(value));
    }
}

std::string* Twins::find(const std::string& name) {
  const auto found = variables_.find(name);
  return found == variables_.end() ? nullptr : &found->second;
}

void Twins::set(CLI::Option& option, const std::string& variable, const std::string& value) {
  try {
    option.add_result(is_switch(option) ? switch_value(variable, value) : value);
    option.run_callback();
  } catch (const CLI::ParseError&) {
    throw Error(ErrorKind::usage, variable, "cannot be " + printable(value),
                "it is the twin of --" + option.get_lnames().front() + ", see --help");
  }
  origins_[&option] = "environment " + variable;
}

void Twins::refuse_unknown(const CLI::App& app) const {
  for (const auto& [name, value] : variables_) {
    if (!name.starts_with(kPrefix) || std::ranges::find(others_, name) != others_.end()) continue;
    std::string flag;
    for (const char c : name.substr(kPrefix.size()))
      flag += c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (app.get_option_no_throw("--" + flag) != nullptr) continue;
    const std::string near = nearest_flag(app, "--" + flag);
    throw Error(ErrorKind::usage, printable(name), "is no variable of " + app.get_name(),
                near.empty() ? "see " + app.get_name() + " --help"
                             : "did you mean " + twin_of(near.substr(2)) + "?");
  }
}

void Twins::apply(CLI::App& app, std::span<const ForeignTwin> foreign) {
  refuse_unknown(app);
  for (CLI::Option* option : settings_of(app)) {
    const std::string& flag = option->get_lnames().front();
    if (option->count() > 0) {
      origins_[option] = "flag --" + flag;
    } else if (const std::string* value = find(twin_of(flag))) {
      set(*option, twin_of(flag), *value);
    } else {
      for (const ForeignTwin& twin : foreign)
        if (const std::string* text = twin.flag == flag ? find(twin.variable) : nullptr) {
          set(*option, twin.variable, twin.translate(*text));
          break;
        }
    }
  }
}

std::string Twins::origin(const CLI::Option& option) const {
  const auto found = origins_.find(&option);
  return found == origins_.end() ? "default" : found->second;
}

}  // namespace kiln
