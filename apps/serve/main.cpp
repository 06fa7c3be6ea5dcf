// kiln-serve: answers predictions over HTTP.
#include <cstdio>

#include "apps/common/app_main.h"
#include "apps/common/twins.h"
#include "apps/serve/server.h"
#include "apps/serve/settings.h"

namespace kiln {
namespace {

int run(int argc, char** argv) {
  const ServeSettings settings = read_serve_settings(argc, argv, environment());
  if (settings.print_config) {
    std::fputs(to_table(settings.rows).c_str(), stdout);
    return 0;
  }
  return run_server(settings);
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) { return kiln::run_app("kiln serve", argc, argv, kiln::run); }
