#include "apps/serve/server.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "apps/common/environment.h"
#include "apps/common/options.h"
#include "apps/serve/control_signals.h"
#include "apps/serve/keeper_thread.h"
#include "engine/core/error.h"
#include "engine/http/http_server.h"
#include "engine/payload/encode.h"
#include "engine/serve/built_in_hooks.h"
#include "engine/serve/multi_model.h"
#include "engine/serve/service.h"

namespace kiln {
namespace {

using serve::ModelKeeper;
using serve::ModelLoader;
using serve::ModelTable;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kLong{3'600'000};

serve::LoadOptions load_options(const ServeSettings& s, Device device) {
  serve::LoadOptions options{.device = device,
                             .executor_count = thread_count(s.common),
                             .any_name = s.multi_model,
                             .name = s.name,
                             .hooks = built_in_hooks(),
                             .allow_plugins = s.allow_plugins,
                             .max_batch = s.max_batch,
                             .queue_pictures = s.queue};
  if (s.inlining != "auto")
    options.inlining = s.inlining == "on" ? serve::Inlining::on : serve::Inlining::off;
  if (s.max_delay_us) options.max_delay = std::chrono::microseconds(*s.max_delay_us);
  if (s.request_time_ms) options.request_time = milliseconds(*s.request_time_ms);
  return options;
}

serve::MultiModelOptions multi_model_options(const ServeSettings& s) {
  const auto most = static_cast<std::uint64_t>(s.max_memory_mb) << 20;
  return {.root = s.root,
          .model_count = static_cast<std::size_t>(s.max_models),
          .memory_bytes = most > 0 ? most : serve::allowed_bytes() / 5 * 4};
}

// What SageMaker's batch transform asks for: bodies of all requests at once within 100 MB.
// BatchStrategy is left to the job: its two ends do not agree on how to write it.
std::string execution_parameters(const ServeSettings& s) {
  const std::uint64_t megabytes = std::max<std::uint64_t>(s.max_body_bytes >> 20, 1);
  const std::uint64_t most = std::clamp<std::uint64_t>(
      100 / megabytes, 1, static_cast<std::uint64_t>(thread_count(s.common)));
  const auto told = static_cast<std::uint64_t>(s.max_concurrent_transforms);
  return R"({"MaxConcurrentTransforms": )" + std::to_string(told > 0 ? told : most) +
         R"(, "MaxPayloadInMB": )" + std::to_string(megabytes) + "}\n";
}

serve::ServiceOptions service_options(const ServeSettings& s, serve::MultiModel* models, Log& log) {
  return {.version = version(),
          .default_accept = s.default_accept,
          .overload_status = s.overload_status,
          .worker_count = s.decoders,
          .ui = !s.no_ui,
          .limits = {.picture_count = s.max_pictures,
                     .image_side = s.max_image_side,
                     .image_pixels = s.max_image_pixels},
          .execution_parameters = execution_parameters(s),
          .models = models,
          .on_failure = [&log](std::string_view what) { log.warning(printable(what, 1024)); }};
}

http::HttpServerOptions http_options(const ServeSettings& s) {
  http::HttpServerOptions options{.address = s.address,
                                  .port = static_cast<std::uint16_t>(s.port),
                                  .connection_count = static_cast<std::size_t>(s.max_connections),
                                  .header_time = milliseconds(s.header_time_ms),
                                  .body_time = milliseconds(s.body_time_ms),
                                  .idle_time = milliseconds(s.idle_time_ms),
                                  .drain_time = milliseconds(s.drain_time_ms),
                                  .drain_idle_time = milliseconds(s.drain_idle_ms)};
  options.limits.body_bytes = s.max_body_bytes;
  return options;
}

// Every request without an Accept of its own would get 406. Hooks may write other types.
void check_default_accept(const ServeSettings& s) {
  const bool has_hooks = s.allow_plugins || built_in_hooks() != nullptr;
  if (has_hooks || payload::choose_reply_type(s.default_accept)) return;
  const auto row = std::ranges::find(s.rows, "default-accept", &ServeSettings::Row::name);
  const std::string name = row->origin.substr(row->origin.find(' ') + 1);  // behind what it is
  throw Error(ErrorKind::usage, name,
              "is " + printable(s.default_accept) + ", which no result is written as",
              "use application/json, text/csv or application/x-npy");
}

// The loop on a thread of its own, which wakes the main thread when it has ended.
class LoopThread {
 public:
  explicit LoopThread(http::HttpServer& server)
      : server_(server), result_(promise_.get_future()), thread_([this] {
          try {
            promise_.set_value(server_.run());
          } catch (...) {
            promise_.set_exception(std::current_exception());
          }
          ControlSignals::wake();
        }) {}
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;
  ~LoopThread() {
    server_.stop();
    thread_.join();
  }

  bool ended() const { return result_.wait_for(milliseconds(0)) == std::future_status::ready; }
  // What run() returned or threw.
  bool result() { return result_.get(); }

 private:
  http::HttpServer& server_;
  std::promise<bool> promise_;
  std::future<bool> result_;
  std::thread thread_;
};

// Everything that lives as long as the server, in the order of construction.
class Server {
 public:
  explicit Server(const ServeSettings& settings)
      : settings_(settings),
        log_(stderr, log_level(settings.common)),
        device_(choose_device(settings.common, log_)),
        loader_(load_options(settings, device_), log_),
        multi_model_(settings.multi_model
                         ? std::make_unique<serve::MultiModel>(table_, loader_,
                                                               multi_model_options(settings), log_)
                         : nullptr),
        service_(table_, service_options(settings, multi_model_.get(), log_)),
        http_(
            http_options(settings),
            [this](http::HttpRequest& request) { return service_.handle(request); }, log_,
            [this] { service_.finish_turn(); },
            [this](int status) { service_.count_refusal(status); }),
        keeper_(
            settings.root,
            settings.versions == "all" ? serve::VersionPolicy::all : serve::VersionPolicy::latest,
            loader_, table_, log_) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Batchers first: who waits for them uses what the service has.
  ~Server() {
    for (const auto& model : table_.all()) model->batcher->stop();
  }

  int run();

 private:
  std::string url() const {
    return "http://" + settings_.address + ":" + std::to_string(http_.port());
  }
  void announce();
  [[noreturn]] void give_up();
  int drain(int signal, LoopThread& loop);
  int next_signal(Clock::time_point until);

  const ServeSettings& settings_;
  ControlSignals signals_;
  Log log_;
  const Device device_;
  ModelTable table_;
  ModelLoader loader_;
  const std::unique_ptr<serve::MultiModel> multi_model_;
  serve::Service service_;
  http::HttpServer http_;
  ModelKeeper keeper_;
};

// The one line on standard output.
void Server::announce() {
  std::string models = settings_.multi_model ? "models come by POST /models" : "";
  for (const auto& model : table_.all())
    models += (models.empty() ? "" : ", ") + model->identity->name + " version " +
              model->identity->version;
  std::printf("kiln serve: ready on %s: %s\n", url().c_str(), models.c_str());
  if (std::fflush(stdout) == 0) return;
  log_.warning("standard output: cannot write that the server is ready: " + errno_text(errno));
  std::clearerr(stdout);  // who asks /ping knows it as well
}

// SIGINT or SIGTERM, or 0 for anything else and when the time has come.
int Server::next_signal(Clock::time_point until) {
  const int signal =
      signals_.wait_for(std::chrono::duration_cast<milliseconds>(until - Clock::now()));
  return signal == SIGINT || signal == SIGTERM ? signal : 0;
}

int Server::run() {
  for (const std::string& note : settings_.notes) log_.warning(note);
  std::promise<void> loaded;
  std::future<void> loading = loaded.get_future();
  LoopThread loop(http_);
  log_.info("listening on " + url() + "; /ping says 503 until the models are loaded");
  const auto tell = [&](std::exception_ptr fault) {
    fault ? loaded.set_exception(std::move(fault)) : loaded.set_value();
    ControlSignals::wake();
  };
  std::optional<KeeperThread> keeper;
  if (settings_.multi_model)
    tell(nullptr);
  else
    keeper.emplace(keeper_, milliseconds(settings_.watch_ms), tell);
  const Clock::time_point late = Clock::now() + milliseconds(settings_.startup_time_ms);
  for (;;) {
    const int signal = signals_.wait_for(
        loading.valid() ? std::chrono::duration_cast<milliseconds>(late - Clock::now()) : kLong);
    if (loop.ended()) loop.result();  // only by an exception
    if (loading.valid() && Clock::now() >= late) give_up();
    if (loading.valid() && loading.wait_for(milliseconds(0)) == std::future_status::ready) {
      loading.get();
      service_.set_ready(true);
      announce();
    }
    if (signal == SIGHUP && keeper) keeper->look();
    if (signal == SIGINT || signal == SIGTERM) return drain(signal, loop);
  }
}

// A thread that loads cannot be waited for.
void Server::give_up() {
  log_.warning("the models are not loaded within --startup-time-ms " +
               std::to_string(settings_.startup_time_ms) + "; ended");
  std::fflush(nullptr);
  ::_exit(1);
}

// No new work is asked for, then none is taken; what has begun gets its reply.
int Server::drain(int signal, LoopThread& loop) {
  log_.info(std::string(signal == SIGINT ? "SIGINT" : "SIGTERM") +
            ": no new connections, requests under way are finished");
  service_.set_ready(false);
  int second = 0;
  const Clock::time_point refused = Clock::now() + milliseconds(settings_.drain_delay_ms);
  while (second == 0 && Clock::now() < refused) second = next_signal(refused);
  http_.stop();
  while (second == 0 && !loop.ended()) second = next_signal(Clock::now() + kLong);
  if (second != 0) {
    log_.warning("a second signal: ended at once");
    std::fflush(nullptr);
    ::_exit(128 + second);
  }
  if (loop.result()) return 0;
  log_.warning("the time to finish is over (--drain-time-ms " +
               std::to_string(settings_.drain_time_ms) + "); requests were cut off");
  return 1;
}

// A connection is a file, and many systems allow 1,024 where nobody asks for more: that is less
// than --max-connections, and who comes then waits for a socket instead of getting 503.
void allow_files() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace

int run_server(const ServeSettings& settings) {
  check_default_accept(settings);
  allow_files();
  Server server(settings);
  return server.run();
}

}  // namespace kiln
