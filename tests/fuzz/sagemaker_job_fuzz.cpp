// The files of a training job, one behind the other with lines "---" between: whatever the bytes,
// an Error, or variables that the environment can hold and a plan or an Error.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "apps/sagemaker-train/plan.h"
#include "apps/sagemaker-train/variables.h"
#include "engine/core/error.h"

namespace {

std::string next_text(std::string_view& rest) {
  constexpr std::string_view kBetween = "\n---\n";
  const std::size_t end = std::min(rest.find(kBetween), rest.size());
  std::string text(rest.substr(0, end));
  rest.remove_prefix(std::min(rest.size(), end + kBetween.size()));
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kiln::sagemaker;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const ContainerPaths paths("/opt/ml");
  try {
    JobTexts texts;
    texts.hyperparameters = next_text(rest);
    texts.resources = next_text(rest);
    texts.channels = next_text(rest);
    const Job job = parse_job(texts);
    const auto arguments = script_arguments(job.hyperparameters);
    for (const auto& [name, value] : sm_variables(job, paths, {}, "train.py", arguments))
      if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != name.npos) std::abort();
    const Plan plan = make_plan(job, paths, {});
    if (plan.script == nullptr || plan.flags.epochs < 1) std::abort();
  } catch (const kiln::Error&) {
  }
  return 0;
}
