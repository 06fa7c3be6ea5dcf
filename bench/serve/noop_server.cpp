// kiln-serve-noop: the whole way of a request through kiln-serve, around a model that computes
// nothing: pictures of 12,288 bytes in, ten zeros out. Prints its port; ends with SIGTERM.
//
// What a real model does to its input, normalising pixels, belongs to the model and is left out.
#include <array>
#include <csignal>
#include <cstdio>
#include <memory>
#include <thread>

#include "bench/serve/exchange.h"
#include "engine/core/error.h"
#include "engine/http/http_server.h"
#include "engine/serve/service.h"

namespace kiln {
namespace {

constexpr std::int64_t kBatch = 32, kClasses = 10;  // batches as kiln-serve has them

class NoopExecutor final : public serve::Executor {
 public:
  std::int64_t max_batch() const override { return kBatch; }
  std::int64_t output_size() const override { return kClasses; }
  void load(std::int64_t, const payload::Pictures&, std::int64_t, std::int64_t) override {}
  void run(std::int64_t) override {}
  std::span<const float> outputs(std::int64_t, std::int64_t count) const override {
    return std::span(zeros_).first(static_cast<std::size_t>(count * output_size()));
  }

 private:
  std::array<float, kBatch * kClasses> zeros_{};
};

std::shared_ptr<serve::ServedModel> make_model() {
  auto model = std::make_shared<serve::ServedModel>();
  serve::ModelIdentity identity{.name = "noop", .version = "1", .shape = {64, 64, 3}};
  for (int i = 0; i < kClasses; ++i) identity.classes.push_back("class " + std::to_string(i));
  model->identity = std::make_shared<serve::ModelIdentity>(std::move(identity));
  model->metrics = std::make_shared<serve::BatcherMetrics>(kBatch);
  std::vector<std::unique_ptr<serve::Executor>> executors;
  executors.push_back(std::make_unique<NoopExecutor>());
  model->batcher = std::make_unique<serve::Batcher>(
      serve::BatcherOptions{.inline_pictures = 4 * kBatch, .inline_batch = kBatch},
      std::move(executors), std::make_unique<NoopExecutor>(), *model->metrics,
      [](std::string_view) {});
  model->turn_requests = kBatch;
  return model;
}

int run() {
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  bench::pin(0);
  Log log;
  serve::ModelTable models;
  const auto model = make_model();
  models.put(model);
  {
    serve::Service service(models, {.version = "bench"});
    service.set_ready(true);
    http::HttpServer server(
        {}, [&service](http::HttpRequest& request) { return service.handle(request); }, log,
        [&service] { service.finish_turn(); });
    std::printf("%d\n", server.port());
    std::fflush(stdout);
    std::thread loop([&] { server.run(); });
    int signal = 0;
    ::sigwait(&stop, &signal);
    server.stop();
    loop.join();
    model->batcher->stop();
  }
  return 0;
}

}  // namespace
}  // namespace kiln

int main() try { return kiln::run(); } catch (const kiln::Error& error) {
  std::fprintf(stderr, "kiln-serve-noop: %s\n", error.what());
  return error.exit_code();
}
