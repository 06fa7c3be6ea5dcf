#include "engine/serve/model_loader.h"

#include <algorithm>
#include <vector>

#include "engine/core/error.h"
#include "engine/infer/golden.h"
#include "engine/payload/model_name.h"
#include "engine/serve/session_executor.h"

namespace kiln::serve {
namespace {

constexpr std::int64_t kMaxBatch = 32, kQueuePictures = 256;
constexpr std::chrono::microseconds kMaxDelay{0};
constexpr std::chrono::milliseconds kRequestTime{30'000};
// Longer, and other connections would feel it.
constexpr std::chrono::microseconds kMostInline{500};

// Every size of batch that has a program of its own, so that no request pays for a first run.
void warm(SessionExecutor& executor) {
  for (std::int64_t count = 1; count < executor.max_batch(); count *= 2) executor.run(count);
  executor.run(executor.max_batch());
}

Clock::duration fastest_picture(SessionExecutor& executor) {
  Clock::duration fastest = Clock::duration::max();
  for (int i = 0; i < 5; ++i) {
    const Clock::time_point begin = Clock::now();
    executor.run(1);
    fastest = std::min(fastest, Clock::now() - begin);
  }
  return fastest;
}

std::string in_microseconds(Clock::duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(time).count()) +
         " us";
}

const FileDigest* find_file(const ModelCard& card, std::string_view name) {
  const auto found = std::ranges::find(card.files, name, &FileDigest::name);
  return found == card.files.end() ? nullptr : &*found;
}

void check_sample(const ModelFolder& folder, const ModelCard& card, SessionExecutor& executor,
                  Log& log) {
  if (find_file(card, kGoldenFile) == nullptr) {
    log.info(folder.path.string() + ": has no golden sample; its results are not checked");
    return;
  }
  const Path path = folder.path / kGoldenFile;
  check_golden(executor.session(), infer::read_golden(path, executor.session().model().spec()),
               path);
}

ModelIdentity identity_of(const ModelCard& card, std::string name, const std::string& version) {
  return {.name = std::move(name),
          .version = version,
          .shape = {card.input_height, card.input_width, card.input_channels},
          .classes = card.classes};
}

}  // namespace

std::string ModelLoader::name_of(const ModelFolder& folder, const ModelCard& card) const {
  const std::string& name = !folder.name.empty()    ? folder.name
                            : options_.name.empty() ? card.name
                                                    : options_.name;
  if (!payload::valid_model_name(name))
    throw Error(ErrorKind::input, (folder.path / kCardFile).string(),
                "has the name \"" + printable(name) + "\", which does not do for an address",
                "give one with --name");
  return name;
}

std::shared_ptr<BatcherMetrics> ModelLoader::metrics_of(const ModelIdentity& identity,
                                                        std::int64_t max_batch) {
  auto& metrics = metrics_[{identity.name, identity.version}];
  if (metrics == nullptr) metrics = std::make_shared<BatcherMetrics>(max_batch);
  return metrics;
}

std::unique_ptr<SessionExecutor> ModelLoader::inline_executor(
    std::shared_ptr<const infer::Model> model, const std::string& name) {
  if (options_.inlining == Inlining::off || !options_.device.is_host()) return nullptr;
  auto executor = std::make_unique<SessionExecutor>(std::move(model), 1, log_);
  warm(*executor);
  const Clock::duration time = fastest_picture(*executor);
  const bool inlined = options_.inlining == Inlining::on || time <= kMostInline;
  log_.info(name + ": a picture takes " + in_microseconds(time) + "; a lone one is computed by " +
            (inlined ? "the thread that received it" : "a thread of its own"));
  return inlined ? std::move(executor) : nullptr;
}

ModelTable::Entry ModelLoader::load(const ModelFolder& folder) {
  const FolderStamp before = stamp_of(folder.path);
  ModelDescription description = read_model_description(folder.path);
  const ModelCard card = description.card;
  const std::string name = name_of(folder, card);
  verify_files(folder.path, card.files);
  if (find_file(card, kWeightsFile) == nullptr)
    log_.info(folder.path.string() + ": model.json has no digest of the weights to hold them to");
  const auto model = infer::Model::load(folder.path, std::move(description), options_.device);
  const std::int64_t max_batch = options_.max_batch.value_or(kMaxBatch);
  auto served = std::make_shared<ServedModel>();
  served->identity = std::make_shared<const ModelIdentity>(identity_of(card, name, folder.version));
  served->metrics = metrics_of(*served->identity, max_batch);
  served->request_time = options_.request_time.value_or(kRequestTime);
  const int count = options_.device.is_host() ? options_.executor_count : 1;
  std::vector<std::unique_ptr<Executor>> executors;
  for (int i = 0; i < count; ++i) {
    auto executor = std::make_unique<SessionExecutor>(model, max_batch, log_);
    if (i == 0) check_sample(folder, card, *executor, log_);
    warm(*executor);
    executors.push_back(std::move(executor));
  }
  if (stamp_of(folder.path) != before)
    throw Error(ErrorKind::io, folder.path.string(), "was written to while it was read");
  served->batcher = std::make_unique<Batcher>(
      BatcherOptions{.queue_pictures = options_.queue_pictures.value_or(kQueuePictures),
                     .max_delay = options_.max_delay.value_or(kMaxDelay)},
      std::move(executors), inline_executor(model, name), *served->metrics,
      [&log = log_, name](std::string_view what) {
        log.warning(name + ": a batch failed: " + printable(what));
      });
  return served;
}

}  // namespace kiln::serve
