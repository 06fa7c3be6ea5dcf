# kiln_embed_recipes(OUTPUT): writes every file of recipes/ into a source that defines what
# recipes.h declares; when one of them changes, the build configures itself anew.
function(kiln_embed_recipes output)
  set(folder ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/recipes)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/*.toml)
  set(text "#include \"apps/train/recipes.h\"\n\nnamespace kiln {\n\n"
    "const std::vector<Recipe>& recipes() {\n  static const std::vector<Recipe> all = {\n")
  list(JOIN text "" text)
  foreach(path IN LISTS files)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    get_filename_component(name ${path} NAME_WE)
    file(READ ${path} bytes)
    string(APPEND text "      {\"${name}\", R\"recipe(${bytes})recipe\"},\n")
  endforeach()
  string(APPEND text "  };\n  return all;\n}\n\n}  // namespace kiln\n")
  file(CONFIGURE OUTPUT ${output} CONTENT "${text}" @ONLY)
endfunction()
