#include "models/json_strict.h"

#include <cstddef>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace kiln {

using Json = nlohmann::json;

Json parse_json_strict(std::string_view text, std::string_view thing) {
  std::vector<std::set<std::string, std::less<>>> keys_by_depth;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    const auto level = static_cast<std::size_t>(depth);
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      if (depth >= kJsonDepthLimit)
        throw Error(ErrorKind::input, thing,
                    "is nested deeper than " + std::to_string(kJsonDepthLimit) + " levels");
      // Keys are reported one level below their object.
      if (keys_by_depth.size() < level + 2) keys_by_depth.resize(level + 2);
      keys_by_depth[level + 1].clear();
    }
    if (event == Json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys_by_depth[level].insert(key).second)
        throw Error(ErrorKind::input, thing, "has the key \"" + printable(key) + "\" twice");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::parse_error& error) {
    throw Error(ErrorKind::input, thing,
                "is not JSON in UTF-8 at byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {  // a number beyond every range
    throw Error(ErrorKind::input, thing, "holds a number out of range");
  }
}

}  // namespace kiln
