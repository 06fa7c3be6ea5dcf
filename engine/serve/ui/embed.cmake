# kiln_embed_page(OUTPUT): writes the files of the demo page into a source that defines what
# page_files.h declares, without indentation and the script's comment lines; when one of them
# changes, the build configures itself anew.
function(kiln_embed_page output)
  set(text "#include \"engine/serve/ui/page_files.h\"\n\nnamespace kiln::serve {\nnamespace {\n\n")
  foreach(file page.html app.js style.css icon.svg)
    set(path ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${file})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    string(MAKE_C_IDENTIFIER ${file} name)
    file(READ ${path} page)
    if(file STREQUAL "app.js")
      string(REGEX REPLACE "\n *//[^\n]*" "" page "\n${page}")
    endif()
    string(REGEX REPLACE "\n[\n ]+" "\n" page "${page}")
    string(HEX "${page}" bytes)
    string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
    string(APPEND text "constexpr char ${name}[] = {${bytes}};\n")
    string(APPEND views "    .${name} = {${name}, sizeof ${name}},\n")
  endforeach()
  string(APPEND text "\n}  // namespace\n\nconstinit const PageFiles kPageFiles = {\n${views}};\n\n"
    "}  // namespace kiln::serve\n")
  file(CONFIGURE OUTPUT ${output} CONTENT "${text}" @ONLY)
endfunction()
