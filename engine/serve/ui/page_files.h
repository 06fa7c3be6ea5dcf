// The files of the demo page as they lie in this folder; embed.cmake writes them into the program.
#pragma once

#include <string_view>

namespace kiln::serve {

struct PageFiles {
  std::string_view page_html, app_js, style_css, icon_svg;
};

extern const PageFiles kPageFiles;

}  // namespace kiln::serve
