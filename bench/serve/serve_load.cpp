// kiln-serve-load: load on an HTTP server, as JSON on standard output. It runs on core 1 where
// there are two; the server belongs on core 0.
//
//   echo    a server that answers every request with as many bytes as asked for; judges nothing
//   load    closed loop, or with --rate open loop: arrivals at fixed times, latencies from there
//   start   milliseconds from the start of a program to the first 200 of /ping, again and again
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/serve/load.h"
#include "engine/core/error.h"

namespace kiln::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  LoadOptions load;
  std::string method = "POST", path = "/invocations", type = "application/octet-stream", accept;
  std::string body_file;
  std::size_t reply_bytes = 300;
  int core = -1, rounds = 1, limit_ms = 60'000;
  std::vector<std::string> command;
};

std::string bytes_of(const std::string& file) {
  std::ifstream input(file, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(input), {}};
  if (!input) throw Error(ErrorKind::io, file, "cannot be read");
  return bytes;
}

std::string request_of(const Arguments& arguments) {
  const std::string body = arguments.body_file.empty() ? "" : bytes_of(arguments.body_file);
  std::string bytes = arguments.method + " " + arguments.path + " HTTP/1.1\r\nHost: localhost\r\n";
  if (!arguments.accept.empty()) bytes += "Accept: " + arguments.accept + "\r\n";
  if (arguments.load.fresh) bytes += "Connection: close\r\n";
  if (arguments.method == "POST")
    bytes += "Content-Type: " + arguments.type +
             "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  return bytes + "\r\n" + body;
}

Json quantiles(std::vector<double> values) {
  if (values.empty()) return nullptr;
  std::ranges::sort(values);
  const auto at = [&](double part) {
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
  };
  return {{"count", values.size()}, {"p50", at(0.5)},    {"p90", at(0.9)},
          {"p99", at(0.99)},        {"p999", at(0.999)}, {"max", values.back()}};
}

Json to_json(const Latencies& latencies) {
  return {{"from_intended_us", quantiles(latencies.from_intended)},
          {"from_sent_us", quantiles(latencies.from_sent)}};
}

int run_load_command(const Arguments& arguments) {
  LoadOptions options = arguments.load;
  options.request = request_of(arguments);
  const LoadReport report = run_load(options);
  Json statuses = Json::object();
  for (const auto& [status, count] : report.statuses) statuses[std::to_string(status)] = count;
  const Json result = {{"seconds", report.seconds},
                       {"good_rate", static_cast<double>(report.in_time) / report.seconds},
                       {"statuses", statuses},
                       {"failed", report.failed},
                       {"unanswered", report.unanswered},
                       {"never_sent", report.never_sent},
                       {"refused_connects", report.refused_connects},
                       {"good", to_json(report.good)},
                       {"refused", to_json(report.refused)},
                       {"ping", to_json(report.ping)},
                       {"pings_failed", report.pings_failed},
                       {"reply_bytes", report.reply_bytes},
                       {"cpu_seconds", report.cpu_us / 1e6}};
  std::printf("%s\n", result.dump().c_str());
  return 0;
}

volatile std::sig_atomic_t told_to_stop = 0;

// A reply of `size` bytes.
std::string echo_reply(std::size_t size) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: ";
  if (size < head.size() + 12)
    throw Error(ErrorKind::usage, "--reply-bytes", "is too small for a reply");
  const std::string digits = std::to_string(size - head.size() - 4);
  const std::string length = std::to_string(size - head.size() - 4 - digits.size());
  std::string reply = head + length + "\r\n\r\n";
  reply.append(std::stoul(length), 'x');
  return reply;
}

int run_echo(const Arguments& arguments) {
  std::signal(SIGTERM, [](int) { told_to_stop = 1; });
  Exchange echo;
  std::printf("%d\n", echo.listen());
  std::fflush(stdout);
  echo.run(
      echo_reply(arguments.reply_bytes), [] { return told_to_stop == 0; }, [](Exchange::Peer&) {});
  return 0;
}

int run_start(const Arguments& arguments) {
  Json times = Json::array();
  for (int i = 0; i < arguments.rounds; ++i)
    times.push_back(start_milliseconds(arguments.command, arguments.load.port, arguments.core,
                                       std::chrono::milliseconds(arguments.limit_ms)));
  std::printf("%s\n", Json{{"ms", times}}.dump().c_str());
  return 0;
}

void add_load_options(CLI::App& app, Arguments& arguments) {
  LoadOptions& load = arguments.load;
  app.add_option("--port", load.port)->required();
  app.add_option("--connections", load.connections)->check(CLI::Range(1, 10'000));
  app.add_option("--seconds", load.seconds)->check(CLI::PositiveNumber);
  app.add_option("--requests", load.requests, "end after so many, instead of after --seconds");
  app.add_option("--rate", load.rate, "arrivals a second");
  app.add_option("--ping-ms", load.ping_ms, "GET /ping beside the load, every so many ms");
  app.add_flag("--fresh", load.fresh, "a connection for each request");
  app.add_option("--method", arguments.method)->check(CLI::IsMember({"GET", "POST"}));
  app.add_option("--path", arguments.path);
  app.add_option("--type", arguments.type, "Content-Type");
  app.add_option("--accept", arguments.accept);
  app.add_option("--body", arguments.body_file, "file");
}

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Load on an HTTP server of this machine");
  app.require_subcommand(1);
  CLI::App* load = app.add_subcommand("load", "requests, closed or open loop");
  add_load_options(*load, arguments);
  CLI::App* echo = app.add_subcommand("echo", "the server that others are compared with");
  echo->add_option("--reply-bytes", arguments.reply_bytes, "of a whole reply");
  CLI::App* start = app.add_subcommand("start", "time from a program's start to its first ping");
  start->add_option("--port", arguments.load.port)->required();
  start->add_option("--rounds", arguments.rounds)->check(CLI::PositiveNumber);
  start->add_option("--limit-ms", arguments.limit_ms);
  start->add_option("command", arguments.command)->required();
  for (CLI::App* command : {load, echo, start})
    command->add_option("--core", arguments.core, "of this program; of the program for start");
  CLI11_PARSE(app, argc, argv);
  if (load->parsed()) {
    pin(arguments.core < 0 ? 1 : arguments.core);
    return run_load_command(arguments);
  }
  if (echo->parsed()) {
    pin(std::max(0, arguments.core));
    return run_echo(arguments);
  }
  arguments.core = std::max(0, arguments.core);
  return run_start(arguments);
}

}  // namespace
}  // namespace kiln::bench

int main(int argc, char** argv) try {
  return kiln::bench::run(argc, argv);
} catch (const kiln::Error& error) {
  std::fprintf(stderr, "kiln-serve-load: %s\n", error.what());
  return error.exit_code();
}
