// kiln-predict: what a model sees in pictures.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>

#include "apps/common/app_main.h"
#include "apps/common/batch_runner.h"
#include "apps/common/options.h"
#include "apps/predict/output.h"
#include "apps/predict/picture_list.h"
#include "engine/image/image_codec.h"
#include "engine/image/resize.h"
#include "engine/report/png.h"

namespace kiln {
namespace {

constexpr std::uint64_t kMaxPictureBytes = std::uint64_t{1} << 28;
constexpr std::size_t kMaxSheetPictures = 400;
constexpr int kSheetColumns = 10;

struct PredictOptions {
  std::string model, contact_sheet;
  std::vector<std::string> inputs;
  std::int64_t batch_size = 64;
  int top_count = 3;
  bool json = false, csv = false;
  CommonOptions common;

  PredictionFormat format() const {
    if (json) return PredictionFormat::json;
    return csv ? PredictionFormat::csv : PredictionFormat::table;
  }
};

PredictOptions parse(int argc, char** argv) {
  PredictOptions o;
  CLI::App app("What a model sees in pictures (PNG or JPEG, of any size)", "kiln predict");
  app.add_option("model", o.model, "Model directory, as kiln train writes it")->required();
  app.add_option("pictures", o.inputs, "Picture files, and folders with all that is below them")
      ->required();
  auto* json = app.add_flag("--json", o.json, "Print a JSON array");
  app.add_flag("--csv", o.csv, "Print comma-separated values with a header")->excludes(json);
  app.add_option("--top", o.top_count, "Classes to show for each picture in the table")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  app.add_option("--batch-size", o.batch_size, "Pictures computed at once")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  app.add_option("--contact-sheet", o.contact_sheet,
                 "Also draw the pictures, as the model gets them, into this PNG file");
  add_common_options(app, o.common);
  add_math_option(app, o.common);
  parse_flags(app, argc, argv);
  return o;
}

// Decodes and resizes files into the model's input, one decoder for each thread.
class PictureReader {
 public:
  PictureReader(const ModelCard& card, ThreadPool& pool)
      : size_{card.input_height, card.input_width},
        channels_(static_cast<int>(card.input_channels)),
        pool_(pool),
        workers_(static_cast<std::size_t>(pool.thread_count())) {}

  std::size_t image_bytes() const {
    return static_cast<std::size_t>(size_.height * size_.width * channels_);
  }
  // images: u8 [files, H, W, C]. What went wrong with a file is its line of the result.
  std::vector<std::optional<std::string>> read(std::span<const Path> files, std::uint8_t* images) {
    std::vector<std::optional<std::string>> faults(files.size());
    pool_.parallel_for_threads(static_cast<std::int64_t>(files.size()),
                               [&](std::int64_t chunk, int thread) {
                                 const auto i = static_cast<std::size_t>(chunk);
                                 faults[i] = read_one(workers_[static_cast<std::size_t>(thread)],
                                                      files[i], images + i * image_bytes());
                               });
    return faults;
  }

 private:
  struct Worker {
    ImageDecoder decoder;
    Resizer resizer;
    Image image;
  };

  std::optional<std::string> read_one(Worker& worker, const Path& file, std::uint8_t* out) const {
    try {
      const std::vector<std::byte> bytes = read_file(file, kMaxPictureBytes);
      worker.decoder.decode(bytes, file.string(), channels_, worker.image);
      worker.resizer.resize(worker.image, size_, out);
      return std::nullopt;
    } catch (const std::bad_alloc&) {
      return file.string() + ": not enough memory to decode it";
    } catch (const std::exception& error) {
      return error.what();
    }
  }

  ImageSize size_;
  int channels_;
  ThreadPool& pool_;
  std::vector<Worker> workers_;
};

class Predictor {
 public:
  Predictor(const PredictOptions& options, const Model& model, Context& context)
      : options_(options),
        model_(model),
        providers_(make_conv2d_providers(options.common, context.device(), context.log())),
        runner_(model, context, providers_, options.batch_size),
        reader_(model.card, context.pool()),
        writer_(make_prediction_writer(options.format(), model.card.classes, options.top_count)) {}

  void predict(std::span<const Path> files) {
    const auto step = static_cast<std::size_t>(runner_.batch_size());
    for (std::size_t first = 0; first < files.size(); first += step)
      predict_batch(files.subspan(first, std::min(step, files.size() - first)));
    writer_->finish();
  }
  std::int64_t fault_count() const { return fault_count_; }
  const std::vector<SheetEntry>& sheet() const { return sheet_; }

 private:
  void predict_batch(std::span<const Path> files) {
    std::vector<std::uint8_t> images(files.size() * reader_.image_bytes());
    const auto faults = reader_.read(files, images.data());
    // The pictures that could be read move together, so that the model sees no gaps.
    std::vector<std::size_t> kept;
    kept.reserve(files.size());
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (faults[i]) {
        report(*faults[i]);
        continue;
      }
      std::copy_n(images.begin() + offset(i), reader_.image_bytes(),
                  images.begin() + offset(kept.size()));
      kept.push_back(i);
    }
    if (kept.empty()) return;
    images.resize(kept.size() * reader_.image_bytes());
    const std::vector<std::int32_t> labels(kept.size(), 0);  // nobody asks for the loss
    const Network& network = runner_.run(images, labels);
    for (std::size_t row = 0; row < kept.size(); ++row)
      write(network, row, files[kept[row]],
            std::span(images).subspan(row * reader_.image_bytes(), reader_.image_bytes()));
  }

  void write(const Network& network, std::size_t row, const Path& file,
             std::span<const std::uint8_t> pixels) {
    const Prediction prediction{file.string(),
                                probabilities(network.logits(), static_cast<std::int64_t>(row))};
    if (first_largest(prediction.probabilities) < 0)
      throw Error(ErrorKind::input, options_.model, "answers with NaN to " + file.string(),
                  "train it again with a smaller learning rate");
    writer_->write(prediction);
    if (options_.contact_sheet.empty() || sheet_.size() >= kMaxSheetPictures) return;
    const ModelCard& card = model_.card;
    sheet_.push_back({.picture = {.height = static_cast<int>(card.input_height),
                                  .width = static_cast<int>(card.input_width),
                                  .channel_count = static_cast<int>(card.input_channels),
                                  .pixels = {pixels.begin(), pixels.end()}}});
  }

  // Behind what is on stdout already, so that both read in order on a terminal.
  void report(const std::string& fault) {
    std::fflush(stdout);
    std::fprintf(stderr, "kiln predict: %s\n", printable(fault, 4096).c_str());
    ++fault_count_;
  }

  std::ptrdiff_t offset(std::size_t row) const {
    return static_cast<std::ptrdiff_t>(row * reader_.image_bytes());
  }

  const PredictOptions& options_;
  const Model& model_;
  Conv2dProviders providers_;
  BatchRunner runner_;
  PictureReader reader_;
  std::unique_ptr<PredictionWriter> writer_;
  std::vector<SheetEntry> sheet_;
  std::int64_t fault_count_ = 0;
};

void check_channels(const PredictOptions& o, const ModelCard& card) {
  if (card.input_channels != 1 && card.input_channels != 3)
    throw Error(ErrorKind::unsupported, o.model,
                "takes pictures of " + std::to_string(card.input_channels) + " channels",
                "PNG and JPEG files have 1 or 3");
}

int run(int argc, char** argv) {
  PredictOptions o = parse(argc, argv);
  Log log(stderr, log_level(o.common));
  ThreadPool pool(thread_count(o.common));
  Context context(choose_device(o.common, log), pool, log, o.common.deterministic);
  const auto model = load_model(o.model, DType::f32, context.device(),
                                choose_storage(o.common, context.device(), log));
  check_channels(o, model->card);
  const PictureList list = find_pictures(o.inputs);
  for (const std::string& fault : list.faults)
    std::fprintf(stderr, "kiln predict: %s\n", fault.c_str());
  if (list.files.empty()) {  // an empty answer of the right form, for whoever parses it
    make_prediction_writer(o.format(), model->card.classes, o.top_count)->finish();
    return 1;
  }
  log.info("decoder: " + image_decoder_name());
  o.batch_size = std::min(o.batch_size, static_cast<std::int64_t>(list.files.size()));
  Predictor predictor(o, *model, context);
  predictor.predict(list.files);
  if (!o.contact_sheet.empty() && !predictor.sheet().empty()) {
    write_png(o.contact_sheet, contact_sheet(predictor.sheet(), kSheetColumns));
    log.info("wrote " + printable(o.contact_sheet));
  }
  return list.faults.empty() && predictor.fault_count() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) { return kiln::run_app("kiln predict", argc, argv, kiln::run); }
