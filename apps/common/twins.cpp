#include "apps/common/twins.h"

#include <algorithm>
#include <cctype>
#include <unistd.h>

#include "apps/common/words.h"
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

const std::string* Twins::find(const std::string& name) const {
  const auto found = variables_.find(name);
  return found == variables_.end() ? nullptr : &found->second;
}

void Twins::refuse_unknown(FlagSet& flags) const {
  std::vector<std::string> names;  // what only asks for something, --help or so, has no twin
  for (const FlagSet::Entry& entry : flags.entries())
    if (entry.flag.is_setting) names.push_back("--" + entry.flag.name);
  for (const auto& [name, value] : variables_) {
    if (!name.starts_with(kPrefix) || std::ranges::find(others_, name) != others_.end()) continue;
    std::string flag = "--";
    for (const char c : name.substr(kPrefix.size()))
      flag += c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (std::ranges::find(names, flag) != names.end()) continue;
    const std::string near = nearest_of(names, flag);
    throw Error(ErrorKind::usage, printable(name), "is no variable of " + flags.program(),
                near.empty() ? "see " + flags.program() + " --help"
                             : "did you mean " + twin_of(near.substr(2)) + "?");
  }
}

void Twins::apply(FlagSet& flags, std::span<const ForeignTwin> foreign) const {
  refuse_unknown(flags);
  const auto set = [&flags](FlagSet::Entry& entry, const std::string& variable,
                            const std::string& text) {
    if (!flags.set(entry, text, "environment " + variable))
      throw Error(ErrorKind::usage, variable, "cannot be " + printable(text),
                  entry.flag.is_switch()
                      ? "write true or false"
                      : "it is the twin of --" + entry.flag.name + ", see --help");
  };
  for (FlagSet::Entry& entry : flags.entries()) {
    if (!entry.flag.is_setting || entry.is_given) continue;
    const std::string twin = twin_of(entry.flag.name);
    if (const std::string* value = find(twin)) {
      set(entry, twin, *value);
      continue;
    }
    for (const ForeignTwin& other : foreign)
      if (const std::string* text = other.flag == entry.flag.name ? find(other.variable) : nullptr;
          text != nullptr && !text->empty()) {
        set(entry, other.variable, other.translate(*text));
        break;
      }
  }
}

}  // namespace kiln
