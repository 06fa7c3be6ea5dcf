// kiln-infer-bench: one network on one thread, through a session and through the training engine's
// evaluation, in alternating rounds.
//
//   kiln-infer-bench [NETWORK [ROUNDS]]     lenet, mnist, resnet18, mini, everything; 15 rounds
//
// Weights are drawn. Times are of a run alone: the pictures lie there as numbers. Every round
// begins with a run that does not count: the other side has just filled the caches with weights of
// its own.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/infer/session.h"
#include "engine/train/model_io.h"
#include "engine/train/network.h"
#include "tests/infer/model_folder.h"

namespace kiln {
namespace {

constexpr double kRoundSeconds = 0.25;

struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "kiln-infer-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw Error(ErrorKind::io, name, "cannot be made");
    path = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::filesystem::path path;
};

template <class Run>
double microseconds_of(int repeats, const Run& run) {
  run();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < repeats; ++i) run();
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  return took.count() / repeats;
}

struct Spread {
  double low, median, high;
};

Spread spread_of(std::vector<double> times) {
  std::ranges::sort(times);
  return {times.front(), times[times.size() / 2], times.back()};
}

void print(const char* what, std::int64_t batch, const Spread& us) {
  std::printf("%-8s %4lld  %9.1f us (%.1f to %.1f)  %9.0f pictures/s\n", what,
              static_cast<long long>(batch), us.median, us.low, us.high,
              1e6 * static_cast<double>(batch) / us.median);
}

void compare(const std::filesystem::path& folder, const ModelSpec& spec, std::int64_t batch,
             int rounds) {
  Log log(stderr, LogLevel::quiet);
  const std::vector<float> x = test::drawn_pictures(spec, batch, 1);
  infer::Session session(infer::Model::load(folder), {.max_batch = batch}, log);
  session.set_values(0, x);

  ThreadPool pool(1);
  Context context({}, pool, log);
  context.mode = Mode::eval;
  Conv2dProviders providers = make_cpu_conv2d_providers(log, CpuConv2dChoice::own);
  const auto trained = load_model(folder, DType::f32, {});
  Network network(spec, trained->parameters, context, providers,
                  {.batch_size = batch, .training = false});
  set_elements<float>(network.input(), x);

  const auto infer = [&] { session.run(batch); };
  const auto evaluate = [&] { network.forward(context); };
  const double first = std::max(microseconds_of(3, infer), microseconds_of(3, evaluate));
  const int repeats = std::max(1, static_cast<int>(kRoundSeconds * 1e6 / first));
  std::vector<double> session_us, network_us;
  for (int round = 0; round < rounds; ++round) {
    session_us.push_back(microseconds_of(repeats, infer));
    network_us.push_back(microseconds_of(repeats, evaluate));
  }
  print("session", batch, spread_of(session_us));
  print("network", batch, spread_of(network_us));
}

int run(const std::string& name, int rounds) {
  const ModelSpec spec = test::network_of(name);
  const Folder folder;
  test::write_model(folder.path, spec, 1);
  for (const std::int64_t batch : {1, 2, 4, 8, 16, 32}) compare(folder.path, spec, batch, rounds);
  return 0;
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) {
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 15;
  if (argc > 3 || rounds < 1) {
    std::fprintf(stderr, "usage: kiln-infer-bench [NETWORK [ROUNDS]]\n");
    return 2;
  }
  try {
    return kiln::run(argc > 1 ? argv[1] : "lenet", rounds);
  } catch (const kiln::Error& error) {
    std::fprintf(stderr, "kiln-infer-bench: %s\n", error.what());
    return error.exit_code();
  }
}
