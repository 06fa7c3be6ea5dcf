// kiln-serve: answers predictions over HTTP.
#include <cstdio>
#include <malloc.h>
#include <utility>

#include "apps/common/app_main.h"
#include "apps/common/twins.h"
#include "apps/serve/model_rows.h"
#include "apps/serve/server.h"
#include "apps/serve/settings.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

// What a large body took goes back to the system with it: by itself glibc keeps up to 64 MB,
// because its thresholds grow with each large block that is freed. And each thread would have a
// heap.
void return_large_blocks() {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 18);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 18);
  ::mallopt(M_ARENA_MAX, 2);
}

// Settings can be looked at where the models are not.
void print_config(ServeSettings& settings) {
  try {
    for (ServeSettings::Row& row : model_rows(settings)) settings.rows.push_back(std::move(row));
  } catch (const Error& error) {
    std::fprintf(stderr, "kiln serve: %s; what models say is not shown\n", error.what());
  }
  std::fputs(to_table(settings.rows).c_str(), stdout);
}

int run(int argc, char** argv) {
  return_large_blocks();
  ServeSettings settings = read_serve_settings(argc, argv, environment());
  if (settings.print_config) {
    print_config(settings);
    return 0;
  }
  return run_server(settings);
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) { return kiln::run_app("kiln serve", argc, argv, kiln::run); }
