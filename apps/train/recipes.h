// The recipes of this build: settings of kiln train by name, as the text of a configuration file.
// They are the files of apps/train/recipes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kiln {

struct Recipe {
  std::string_view name, text;
};

// By name.
const std::vector<Recipe>& recipes();
// "lenet, resnet18 and ..."
std::string recipe_names();
// Throws Error (usage) listing the known ones.
const Recipe& find_recipe(std::string_view name);

}  // namespace kiln
