// http_rows list    each hostile input as a line of JSON: {"name", "hex", "answers"}
// http_rows serve   prints the port of a server that answers 200 to all it takes, until its input
//                   ends
#include <cstdio>
#include <string_view>
#include <thread>

#include "engine/core/error.h"
#include "engine/http/http_server.h"
#include "tests/http/hostile_inputs.h"

namespace kiln::http {
namespace {

std::string hex(std::string_view bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto code = static_cast<unsigned char>(c);
    text += {kDigits[code >> 4], kDigits[code & 15]};
  }
  return text;
}

// Names are plain words, which need no escape.
void list() {
  for (const HostileInput& input : hostile_inputs())
    std::printf(R"({"name": "%s", "hex": "%s", "answers": "%s"})"
                "\n",
                input.name.c_str(), hex(input.bytes).c_str(), input.answers.c_str());
}

void serve() {
  Log log(stderr, LogLevel::quiet);
  HttpServer server(
      {}, [](HttpRequest&) { return HttpReply{.body = "{}\n"}; }, log);
  std::thread thread([&] { server.run(); });
  std::printf("%d\n", server.port());
  std::fflush(stdout);
  while (std::getchar() != EOF) continue;
  server.stop();
  thread.join();
}

}  // namespace
}  // namespace kiln::http

int main(int argc, char** argv) try {
  const std::string_view mode = argc == 2 ? argv[1] : "";
  if (mode == "list")
    kiln::http::list();
  else if (mode == "serve")
    kiln::http::serve();
  else
    throw kiln::Error(kiln::ErrorKind::usage, "arguments", "are not known",
                      "http_rows list, or http_rows serve");
  return 0;
} catch (const kiln::Error& error) {
  std::fprintf(stderr, "http_rows: %s\n", error.what());
  return error.exit_code();
}
