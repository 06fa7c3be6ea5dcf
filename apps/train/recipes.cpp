#include "apps/train/recipes.h"

#include "engine/core/error.h"

namespace kiln {

std::string recipe_names() {
  std::string names;
  for (const Recipe& recipe : recipes()) {
    const bool last = &recipe == &recipes().back();
    if (!names.empty()) names += last ? " or " : ", ";
    names += recipe.name;
  }
  return names;
}

const Recipe& find_recipe(std::string_view name) {
  for (const Recipe& recipe : recipes())
    if (recipe.name == name) return recipe;
  throw Error(ErrorKind::usage, "--recipe " + printable(name), "is no known recipe",
              "use " + recipe_names());
}

}  // namespace kiln
