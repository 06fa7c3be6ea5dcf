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

#include "apps/common/flag_set.h"

namespace kiln {

// Another variable that sets a flag when neither the flag nor its twin does. An empty one is as if
// it were not there: whoever sets it did not write it for kiln.
struct ForeignTwin {
  std::string variable, flag;  // flag: without the dashes
  // From the variable's text to the flag's; throws Error (usage) where it cannot be.
  std::function<std::string(const std::string&)> translate;
};

class Twins {
 public:
  // `environment`: lines NAME=value. `others`: variables KILN_... that are read elsewhere.
  Twins(std::span<const std::string> environment, std::vector<std::string> others);

  // After parse(): gives every setting of `flags` that is not on the command line the value of its
  // variable. Throws Error (usage) naming the variable.
  void apply(FlagSet& flags, std::span<const ForeignTwin> foreign = {}) const;

 private:
  const std::string* find(const std::string& name) const;
  void refuse_unknown(FlagSet& flags) const;

  std::map<std::string, std::string> variables_;
  std::vector<std::string> others_;
};

// The process's own environment.
std::vector<std::string> environment();

// "max-batch" to "KILN_MAX_BATCH".
std::string twin_of(std::string_view flag);

}  // namespace kiln
