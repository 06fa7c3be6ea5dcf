// Environment twins: every flag of a program can be given as a variable, --max-batch as
// KILN_MAX_BATCH. A flag on the command line is stronger.
//
// A variable KILN_... that is no twin is an error, because a setting that is silently ignored is
// worse; what Kubernetes sets for a service that is named kiln (KILN_SERVICE_HOST, KILN_PORT=tcp://
// ...) is passed over.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace kiln {

// Another variable that sets a flag when neither the flag nor its twin does.
struct ForeignTwin {
  std::string variable, flag;  // flag: without the dashes
  // From the variable's text to the flag's; throws Error (usage) where it cannot be.
  std::function<std::string(const std::string&)> translate;
};

class Twins {
 public:
  // `environment`: lines NAME=value. `others`: variables KILN_... that are read elsewhere.
  Twins(std::span<const std::string> environment, std::vector<std::string> others);

  // After parse_flags(): gives every option of `app` that is not on the command line the value of
  // its variable. Throws Error (usage) naming the variable.
  void apply(CLI::App& app, std::span<const ForeignTwin> foreign = {});

  // "flag --port", "environment KILN_PORT", or "default".
  std::string origin(const CLI::Option& option) const;

 private:
  std::string* find(const std::string& name);
  void refuse_unknown(const CLI::App& app) const;
  void set(CLI::Option& option, const std::string& variable, const std::string& value);

  std::map<std::string, std::string> variables_;
  std::vector<std::string> others_;
  std::map<const CLI::Option*, std::string> origins_;  // of options that are not at their default
};

// The process's own environment.
std::vector<std::string> environment();

// "max-batch" to "KILN_MAX_BATCH".
std::string twin_of(std::string_view flag);

}  // namespace kiln
