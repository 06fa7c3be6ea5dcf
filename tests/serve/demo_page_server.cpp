// demo_page_server    prints the port of a server with two models that have no network, `colours`
//                     and `hostile`, whose classes' names are markup; serves until its input ends
#include <cstdio>
#include <thread>

#include "engine/core/error.h"
#include "engine/http/http_server.h"
#include "engine/serve/service.h"
#include "tests/serve/colour_model.h"

namespace kiln::serve {
namespace {

void serve() {
  ModelTable models;
  models.put(test::make_colour_model({.name = "colours",
                                      .version = "3",
                                      .shape = {32, 32, 3},
                                      .classes = {"red", "green", "blue"},
                                      .accuracy = 0.634,
                                      .data_name = "cifar-10",
                                      .synthetic = false}));
  models.put(test::make_colour_model({.name = "hostile",
                                      .version = "12",
                                      .shape = {28, 28, 1},
                                      .classes = test::hostile_names(),
                                      .accuracy = 0.98765,
                                      .data_name = "<b onclick=alert(1)>drawn</b>",
                                      .synthetic = true}));
  Service service(models, {.version = "0"});
  service.set_ready(true);
  Log log(stderr, LogLevel::quiet);
  http::HttpServer server(
      {}, [&](http::HttpRequest& request) { return service.handle(request); }, log,
      [&] { service.finish_turn(); });
  std::thread thread([&] { server.run(); });
  std::printf("%d\n", server.port());
  std::fflush(stdout);
  while (std::getchar() != EOF) continue;
  server.stop();
  thread.join();
  for (const ModelTable::Entry& model : models.all()) model->batcher->stop();
}

}  // namespace
}  // namespace kiln::serve

int main() try {
  kiln::serve::serve();
  return 0;
} catch (const kiln::Error& error) {
  std::fprintf(stderr, "demo_page_server: %s\n", error.what());
  return error.exit_code();
}
