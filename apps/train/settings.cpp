#include "apps/train/settings.h"

#include <algorithm>
#include <cstdio>
#include <zlib.h>

#include "apps/common/environment.h"
#include "engine/core/error.h"
#include "engine/core/file.h"

namespace kiln {
namespace {

[[noreturn]] void unknown(std::string_view flag, const std::string& value, std::string_view mend) {
  throw Error(ErrorKind::usage, std::string(flag) + " " + printable(value), "is not known", mend);
}

Augmentation augmentation_of(const TrainFlags& f) {
  Augmentation a{.crop_padding = static_cast<int>(f.crop_padding),
                 .cutout_side = static_cast<int>(f.cutout)};
  if (f.crop_fill == "reflect")
    a.padding = Augmentation::Padding::reflect;
  else if (f.crop_fill != "zero")
    unknown("--crop-fill", f.crop_fill, "use zero or reflect");
  if (f.flip == "random")
    a.flip = Augmentation::Flip::random;
  else if (f.flip == "alternating")
    a.flip = Augmentation::Flip::alternating;
  else if (f.flip != "none")
    unknown("--flip", f.flip, "use none, random or alternating");
  return a;
}

OptimizerOptions optimizer_of(const TrainFlags& f) {
  const OptimizerKind kind = parse_optimizer(f.optimizer);
  std::vector<ParameterGroup> groups;
  for (const std::string& text : f.groups) groups.push_back(parse_group(text));
  return {.kind = kind,
          .momentum = f.momentum,
          .dampening = f.dampening,
          .nesterov = f.nesterov,
          .weight_decay = f.weight_decay,
          .rho = f.rho,
          .beta1 = f.beta1,
          .beta2 = f.beta2,
          .epsilon = f.epsilon.value_or(kind == OptimizerKind::adadelta ? 1e-6 : 1e-8),
          .groups = std::move(groups)};
}

std::string hex(unsigned long value) {
  char text[24];
  std::snprintf(text, sizeof text, "%08lx", value);
  return text;
}

unsigned long crc_of(std::span<const std::uint8_t> bytes, unsigned long seed = 0) {
  unsigned long crc = seed;
  constexpr std::size_t kPiece = std::size_t{1} << 24;  // zlib counts in 32 bits
  for (std::size_t at = 0; at < bytes.size(); at += kPiece)
    crc =
        ::crc32(crc, bytes.data() + at, static_cast<unsigned>(std::min(kPiece, bytes.size() - at)));
  return crc;
}

std::string exact(const Normalisation& n) {
  if (n.mode == Normalisation::Mode::per_image) return "per-image";
  std::string text;
  for (const auto* values : {&n.mean, &n.std})
    for (const float value : *values) {
      char number[24];
      std::snprintf(number, sizeof number, "%s%.9g", text.empty() ? "" : " ",
                    static_cast<double>(value));
      text += number;
    }
  return text;
}

// Settings that may differ from rank to rank.
constexpr std::string_view kOwnSettings[] = {
    "data",    "model-dir", "output-dir",   "checkpoint-path", "threads",
    "workers", "device",    "log-interval", "log-ranks",       "ranks",
    "comm",    "hosts",     "interface",    "remote-shell",    "rank-timeout"};

// The version and a checksum of the program's file.
std::string program_fingerprint() {
  const MappedFile program("/proc/self/exe");
  const auto bytes = program.bytes();
  return version() + " " +
         hex(crc_of({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
}

}  // namespace

std::string fingerprint(const Dataset& dataset) {
  const auto labels = std::as_bytes(dataset.labels());
  unsigned long crc = crc_of({reinterpret_cast<const std::uint8_t*>(labels.data()), labels.size()});
  for (std::int64_t i = 0; i < dataset.size(); i += 64) crc = crc_of(dataset.image(i), crc);
  return std::to_string(dataset.size()) + " pictures, " + hex(crc);
}

std::string fingerprint(const ModelSpec& spec) {
  const std::string text = to_json(spec);
  return spec.name + " " +
         hex(crc_of({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}));
}

AgreedValues agreed_values(const TrainFlags& flags, const TrainSettings& shared,
                           const Dataset& test) {
  AgreedValues values = {{"program", program_fingerprint()}};
  for (const auto& [name, value] : resolved(flags))
    if (std::ranges::find(kOwnSettings, name) == std::end(kOwnSettings))
      values.emplace_back("--" + name, value);
  // The first rank alone reads the checkpoint: another that asks for it would be overruled.
  values.emplace_back("--resume",
                      flags.resume ? "true" : (flags.resume_if_present ? "if-present" : "false"));
  for (const auto& [name, value] : shared)
    if (name == "data" || name == "model" || name == "normalisation")
      values.emplace_back(name, value);
  values.emplace_back("test data", fingerprint(test));
  return values;
}

TrainOptions train_options(const TrainFlags& f, const Normalisation& normalisation) {
  return {.epoch_count = f.epochs,
          .batch_size = f.batch_size,
          .global_batch = f.global_batch,
          .accumulate = f.accumulate,
          .reducer = {.buckets = {.overlap = f.overlap == "on"    ? Overlap::on
                                             : f.overlap == "off" ? Overlap::off
                                                                  : Overlap::automatic},
                      .wire = f.wire == "bf16" ? Wire::bf16 : Wire::fp32},
          .sync_batch_norm = f.sync_bn,
          .seed = f.seed,
          .optimizer = optimizer_of(f),
          .schedule = {.kind = parse_schedule(f.schedule),
                       .base = f.lr,
                       .gamma = f.gamma,
                       .step_epochs = f.step_epochs,
                       .warmup_epochs = f.warmup_epochs,
                       .warmup_start_ratio = f.warmup_start_ratio,
                       .final_ratio = f.final_lr_ratio},
          .lookahead = {.interval = f.lookahead, .decay = f.lookahead_decay},
          .label_smoothing = f.label_smoothing,
          .test_views = parse_test_views(f.tta),
          .drop_last = f.drop_last,
          .augmentation = augmentation_of(f),
          .normalisation = normalisation,
          .worker_count = static_cast<int>(f.workers),
          .log_interval = f.log_interval,
          .checkpoint_interval = f.checkpoint_interval,
          .resident = !f.no_resident,
          .graph = !f.no_graph};
}

Normalisation choose_normalisation(const TrainFlags& f, const Dataset& train, ThreadPool& pool) {
  Normalisation n;
  std::string mode = f.normalisation;
  if (mode == "auto") mode = f.model == "mnist" && f.mean.empty() ? "per-image" : "chosen";
  if (mode == "measured") return measure_normalisation(train, pool);
  if (mode == "per-image") {
    n.mode = Normalisation::Mode::per_image;
    return n;
  }
  if (mode != "chosen") unknown("--normalisation", mode, "use auto, chosen, measured or per-image");
  if (f.mean.empty()) return n;
  if (static_cast<std::int64_t>(f.mean.size()) != train.info().channels)
    throw Error(ErrorKind::usage, "--mean and --std",
                "have " + std::to_string(f.mean.size()) + " values but the pictures have " +
                    std::to_string(train.info().channels) + " channels");
  for (std::size_t i = 0; i < f.mean.size(); ++i) {
    n.mean[i] = static_cast<float>(f.mean[i]);
    n.std[i] = static_cast<float>(f.std[i]);
  }
  return n;
}

namespace {

// Which parameters are updated how; rates may change from run to run.
std::string groups_of(const TrainFlags& f) {
  std::string text;
  for (const std::string& group : f.groups) {
    const ParameterGroup g = parse_group(group);
    text += (text.empty() ? "" : "; ") + g.match +
            (g.kind == ParameterGroup::Kind::muon ? " muon" : " sgd");
  }
  return text;
}

}  // namespace

TrainSettings shared_settings(const TrainFlags& f, const ModelSpec& spec, const Dataset& train,
                              const Normalisation& normalisation) {
  return {{"model", fingerprint(spec)},
          {"data", fingerprint(train)},
          {"batch-size", std::to_string(f.batch_size)},
          {"accumulate", std::to_string(f.accumulate)},
          {"sync-bn", f.sync_bn ? "true" : "false"},
          {"seed", std::to_string(f.seed)},
          {"optimizer", f.optimizer},
          {"group", groups_of(f)},
          {"drop-last", f.drop_last ? "true" : "false"},
          {"lookahead", std::to_string(f.lookahead)},
          {"crop-padding", std::to_string(f.crop_padding)},
          {"crop-fill", f.crop_fill},
          {"flip", f.flip},
          {"cutout", std::to_string(f.cutout)},
          {"label-smoothing", std::to_string(f.label_smoothing)},
          {"normalisation", exact(normalisation)},
          {"math", f.common.math}};
}

}  // namespace kiln
