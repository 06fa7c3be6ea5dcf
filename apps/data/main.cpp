// kiln data: import, draw, describe and verify data sets.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>

#include "apps/common/app_main.h"
#include "apps/common/options.h"
#include "apps/common/signals.h"
#include "apps/data/describe.h"
#include "apps/data/progress.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/data/synth.h"
#include "engine/data/verify.h"
#include "engine/data/write.h"

namespace kiln {
namespace {

constexpr const char* kHelp =
    R"(kiln data: import, draw, describe and verify data sets

usage: kiln data <verb> [arguments]      kiln data <verb> --help says more

  import SRC --to DIR   read a data set of any layout and write it in another
  synth DIR             draw a stand-in for CIFAR-10: ten classes of shapes and textures
  info DIR              what is in a data set: counts, sizes, mean and deviation, checksum
  verify DIR            read every picture and label; exit code 1 at the first problem

A data set (SRC, DIR, and --data of kiln train) is a folder or a file of one of these layouts:

  CIFAR-10 binary   data_batch_1.bin .. data_batch_5.bin, test_batch.bin, batches.meta.txt,
                    also in cifar-10-batches-bin/ or straight in cifar-10-binary.tar.gz
  CIFAR-10 Python   data_batch_1 .. data_batch_5, test_batch, batches.meta, also in
                    cifar-10-batches-py/ or cifar-10-python.tar.gz; nothing in them is executed
  image folder      train/<class>/*.jpg|jpeg|png and test/<class>/..., or <class>/... alone
  IDX (MNIST)       train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., plain or .gz,
                    in one folder or in training/ and testing/

examples:
  kiln data synth data/synth
  kiln data info data/synth --picture sheet.png
  kiln data import cifar-10-python.tar.gz --to data/cifar10
  kiln data import photos/ --to data/photos32 --size 32 --format cifar10-binary
  kiln data import data/mnist --to data/mnist-png --format folder
  kiln data verify data/cifar10
)";

// What every verb takes.
struct Common {
  int thread_count = 0;
  bool quiet = false;

  void add(CLI::App& app) {
    app.add_option("--threads", thread_count, "Threads that read and write; 0: one per CPU")
        ->check(CLI::Range(0, 1024))
        ->capture_default_str();
    app.add_flag("--quiet", quiet, "Print nothing but results, warnings and errors");
  }
  int threads() const {
    return thread_count > 0 ? thread_count : ThreadPool::available_cpu_count();
  }
  LogLevel level() const { return quiet ? LogLevel::quiet : LogLevel::info; }
};

// "32" or "48x64" (height x width).
std::optional<ImageSize> parse_size(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto number = [&text](std::string_view part) {
    if (part.empty() || part.size() > 5 ||
        part.find_first_not_of("0123456789") != std::string_view::npos)
      throw Error(ErrorKind::usage, "--size", "cannot be " + printable(text),
                  "use a side such as 32, or height x width such as 48x64");
    return static_cast<std::int64_t>(std::stoi(std::string(part)));
  };
  const std::size_t x = text.find('x');
  if (x == std::string::npos) return ImageSize{number(text), number(text)};
  return ImageSize{number(std::string_view(text).substr(0, x)),
                   number(std::string_view(text).substr(x + 1))};
}

// A folder that cannot be written is refused before minutes of reading.
void refuse_existing(const Path& target) {
  std::error_code error;
  if (std::filesystem::exists(target, error) && !std::filesystem::is_empty(target, error))
    throw Error(ErrorKind::usage, printable(target.string(), 4096), "exists already",
                "name another folder or remove it");
}

// At most `limit` pictures, one out of each of as many equal stretches of the set, so that sets in
// any order of classes give all kinds; 0 for all.
Dataset thinned(Dataset data, std::int64_t limit) {
  if (limit <= 0 || data.size() <= limit) return data;
  Buffer images(Device{}, static_cast<std::size_t>(limit * data.image_bytes()));
  std::vector<std::int32_t> labels;
  RandomSequence random(0, RandomStream::shuffle, 0);
  for (std::int64_t k = 0; k < limit; ++k) {
    const std::int64_t first = k * data.size() / limit, end = (k + 1) * data.size() / limit;
    const std::int64_t i = first + random.next_below(static_cast<std::uint32_t>(end - first));
    std::ranges::copy(std::as_bytes(data.image(i)), images.data() + k * data.image_bytes());
    labels.push_back(data.label(i));
  }
  return Dataset(data.info(), std::move(images), std::move(labels));
}

int run_import(int argc, char** argv) {
  std::string source, target, format = "cifar10-binary", size;
  std::int64_t limit = 0;
  Common common;
  CLI::App app("Reads a data set of any layout and writes it to a new folder in another.",
               "kiln data import");
  app.add_option("SRC", source, "Folder, or .tar.gz of CIFAR-10")->required();
  app.add_option("--to", target, "The new folder; appears whole or not at all")->required();
  app.add_option("--format", format, "cifar10-binary, folder (PNG files) or idx")
      ->capture_default_str();
  app.add_option("--size", size,
                 "Resize every picture: a side (32) or height x width (48x64); averages areas "
                 "when shrinking, interpolates when growing");
  app.add_option("--limit", limit,
                 "At most this many pictures of each split, spread over it; 0: all")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
      ->capture_default_str();
  common.add(app);
  app.footer(
      "\nexamples:\n"
      "  kiln data import cifar-10-python.tar.gz --to data/cifar10\n"
      "  kiln data import photos/ --to data/photos32 --size 32\n");
  parse_flags(app, argc, argv);
  const DatasetFormat to = parse_dataset_format(format);
  refuse_existing(target);
  SignalWatch signals;
  const LoadOptions options{.resize = parse_size(size), .pause = [&] { signals.stop_if_asked(); }};
  Log log(stderr, common.level());
  ThreadPool pool(common.threads());
  DatasetPair data = load_dataset_pair(source, log, pool, options);
  data = {thinned(std::move(data.train), limit), thinned(std::move(data.test), limit)};
  {
    ProgressLine line("writing");
    write_dataset(target, to, data, pool, {}, [&](std::int64_t done, std::int64_t total) {
      signals.stop_if_asked();
      line.show(done, total);
    });
  }
  std::printf("wrote %lld training and %lld test pictures to %s (%s)%s\n",
              static_cast<long long>(data.train.size()), static_cast<long long>(data.test.size()),
              printable(target, 4096).c_str(), format.c_str(),
              data.train.info().synthetic ? ": synthetic stand-in, not photographs" : "");
  return 0;
}

int run_synth(int argc, char** argv) {
  std::string target;
  SynthOptions options;
  Common common;
  CLI::App app(
      "Draws a stand-in for CIFAR-10 in its binary format, where no real pictures are at hand: "
      "ten classes of shapes and textures (disc, ring, square, frame, triangle, cross, crescent, "
      "stripes, checkers, dots), 32x32 RGB, with noise. The same seed draws the same set.",
      "kiln data synth");
  app.add_option("DIR", target, "The new folder; appears whole or not at all")->required();
  app.add_option("--seed", options.seed, "Which set to draw")->capture_default_str();
  app.add_option("--train-count", options.train_count, "Training pictures")->capture_default_str();
  app.add_option("--test-count", options.test_count, "Test pictures")->capture_default_str();
  common.add(app);
  app.footer(
      "\nexamples:\n"
      "  kiln data synth data/synth\n"
      "  kiln data synth data/small --train-count 5000 --test-count 1000 --seed 7\n");
  parse_flags(app, argc, argv);
  refuse_existing(target);
  SignalWatch signals;
  ThreadPool pool(common.threads());
  DatasetPair data;
  {
    ProgressLine line("drawing");
    const std::int64_t all = options.train_count + options.test_count;
    std::int64_t before = 0;
    const auto show = [&](std::int64_t done, std::int64_t) {
      signals.stop_if_asked();
      line.show(before + done, all);
    };
    data.train = draw_synthetic(options, Split::train, pool, show);
    before = options.train_count;
    data.test = draw_synthetic(options, Split::test, pool, show);
  }
  write_dataset(target, DatasetFormat::cifar10_binary, data, pool, synthetic_note(options),
                [&](std::int64_t, std::int64_t) { signals.stop_if_asked(); });
  std::printf("drew %lld training and %lld test pictures into %s: synthetic stand-in, seed %llu\n",
              static_cast<long long>(options.train_count),
              static_cast<long long>(options.test_count), printable(target, 4096).c_str(),
              static_cast<unsigned long long>(options.seed));
  return 0;
}

int run_info(int argc, char** argv) {
  std::string source, picture;
  Common common;
  CLI::App app("Prints what is in a data set.", "kiln data info");
  app.add_option("DIR", source, "A data set of any layout")->required();
  app.add_option("--picture", picture,
                 "Also write a PNG with ten training pictures of each class, one row a class");
  common.add(app);
  app.footer("\nexample:\n  kiln data info data/cifar10 --picture sheet.png\n");
  parse_flags(app, argc, argv);
  Log log(stderr, LogLevel::quiet);
  ThreadPool pool(common.threads());
  const DatasetPair data = load_dataset_pair(source, log, pool);
  const std::string text = describe_dataset(data, pool);
  if (!picture.empty())
    write_file_atomic(picture,
                      std::span<const std::byte>(encode_png(contact_sheet(data.train, 10))));
  std::fputs(text.c_str(), stdout);
  if (!picture.empty()) std::printf("  %-12s%s\n", "picture", printable(picture, 4096).c_str());
  return 0;
}

int run_verify(int argc, char** argv) {
  std::string source;
  Common common;
  CLI::App app(
      "Reads every picture and label of a data set and compares files with published MD5 sums. "
      "Exit code 1, and one line, at the first problem.",
      "kiln data verify");
  app.add_option("DIR", source, "A data set of any layout")->required();
  common.add(app);
  app.footer("\nexample:\n  kiln data verify data/cifar10\n");
  parse_flags(app, argc, argv);
  Log log(stderr, common.level());
  ThreadPool pool(common.threads());
  for (const std::string& line : verify_dataset(source, log, pool))
    std::printf("note: %s\n", line.c_str());
  std::printf("%s: sound\n", printable(source, 4096).c_str());
  return 0;
}

int run(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "import") return run_import(argc - 1, argv + 1);
  if (verb == "synth") return run_synth(argc - 1, argv + 1);
  if (verb == "info") return run_info(argc - 1, argv + 1);
  if (verb == "verify") return run_verify(argc - 1, argv + 1);
  if (verb == "--help" || verb == "-h") {
    std::fputs(kHelp, stdout);
    return 0;
  }
  if (verb.empty())
    throw Error(ErrorKind::usage, "verb", "is missing", "use import, synth, info or verify");
  throw Error(ErrorKind::usage, printable(verb), "is no verb",
              "use import, synth, info or verify; see kiln data --help");
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) { return kiln::run_app("kiln data", argc, argv, kiln::run); }
