#include "apps/serve/model_rows.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/core/error.h"
#include "engine/serve/model_folders.h"
#include "models/model_directory.h"

namespace kiln {
namespace {

bool is_open(const ServeSettings& settings, std::string_view name) {
  const auto row = std::ranges::find(settings.rows, name, &ServeSettings::Row::name);
  return row != settings.rows.end() && row->origin == "default";
}

}  // namespace

std::vector<ServeSettings::Row> model_rows(const ServeSettings& settings) {
  std::vector<ServeSettings::Row> rows;
  if (settings.multi_model) return rows;
  for (const serve::ModelFolder& folder : serve::find_models(settings.root)) {
    if (is_torch_directory(folder.path)) continue;  // a file that wishes nothing
    const Path file = folder.path / kCardFile;
    const ModelCard card = read_model_card(file);
    const std::string& own = settings.name.empty() ? card.name : settings.name;
    const std::string model = (folder.name.empty() ? own : folder.name) + "/" + folder.version;
    const auto add = [&](const std::string& name, const std::string& value) {
      rows.push_back({name + " of " + printable(model), value, printable(file.string(), 4096)});
    };
    const ModelCard::Serving& serving = card.serving;
    const std::array numbers = {
        std::pair{"max-batch", serving.max_batch}, std::pair{"max-delay-us", serving.max_delay_us},
        std::pair{"queue", serving.queue}, std::pair{"request-time-ms", serving.request_time_ms}};
    for (const auto& [name, value] : numbers)
      if (value && is_open(settings, name)) add(name, std::to_string(*value));
    if (serving.plugin) add("plugin", *serving.plugin);
  }
  return rows;
}

}  // namespace kiln
