#include "engine/serve/model_loader.h"

#include <algorithm>
#include <vector>

#include "engine/core/error.h"
#include "engine/infer/golden.h"
#include "engine/payload/model_name.h"
#include "engine/serve/hook_call.h"
#include "engine/serve/plugin_loader.h"
#include "engine/serve/session_executor.h"

namespace kiln::serve {
namespace {

constexpr std::int64_t kMaxBatch = 32, kQueuePictures = 256;
constexpr std::chrono::microseconds kMaxDelay{0};
constexpr std::chrono::milliseconds kRequestTime{30'000};
// The loop computes for so long at a time: longer, and other connections would feel it. Where there
// are other threads to compute, a batch is worth two changes of thread, tens of microseconds.
constexpr std::chrono::microseconds kMostInline{500}, kMostInlineBeside{50};
constexpr std::int64_t kInlineBatches = 4;  // of a turn, where the loop is the only thread

// Every size of batch that has a program of its own, so that no request pays for a first run.
void warm(SessionExecutor& executor) {
  for (std::int64_t count = 1; count < executor.max_batch(); count *= 2) executor.run(count);
  executor.run(executor.max_batch());
}

Clock::duration fastest(SessionExecutor& executor, std::int64_t count) {
  Clock::duration fastest = Clock::duration::max();
  for (int i = 0; i < 5; ++i) {
    const Clock::time_point begin = Clock::now();
    executor.run(count);
    fastest = std::min(fastest, Clock::now() - begin);
  }
  return fastest;
}

// The most pictures that take no longer than `time`; at least one.
std::int64_t pictures_within(SessionExecutor& executor, Clock::duration time) {
  std::int64_t count = 1;
  while (2 * count <= executor.max_batch() && fastest(executor, 2 * count) <= time) count *= 2;
  return count;
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
          .classes = card.classes,
          .accuracy = card.accuracy,
          .data_name = card.data_name,
          .synthetic = card.synthetic};
}

// Requests are read by the description, so the network must be one of its sizes.
std::shared_ptr<const infer::Model> network_of(const Hooks& hooks, const ModelFolder& folder,
                                               const ModelDescription& description, Device device) {
  auto model =
      call_hook("model_fn", [&] { return hooks.model_fn(folder.path, description, device); });
  const ModelSpec& wanted = description.spec;
  if (model == nullptr || model->spec().height != wanted.height ||
      model->spec().width != wanted.width || model->spec().channels != wanted.channels ||
      model->spec().class_count != wanted.class_count)
    throw Error(ErrorKind::input, folder.path.string(),
                "became a network of another size by model_fn, or none");
  return model;
}

}  // namespace

std::string ModelLoader::name_of(const ModelFolder& folder, const ModelCard& card) const {
  const std::string& name = !folder.name.empty()    ? folder.name
                            : options_.name.empty() ? card.name
                                                    : options_.name;
  if (options_.any_name || payload::valid_model_name(name)) return name;
  if (!folder.name.empty())
    throw Error(ErrorKind::input, printable(folder.path.string()),
                "is the folder of a model whose name does not do for an address",
                "use letters, digits, '.', '_' and '-', up to 64, a letter or digit first");
  throw Error(ErrorKind::input, (folder.path / kCardFile).string(),
              "has the name \"" + printable(name) + "\", which does not do for an address",
              "give one with --name");
}

void ModelLoader::forget(const std::string& name) {
  std::erase_if(metrics_, [&name](const auto& entry) { return entry.first.first == name; });
}

std::shared_ptr<BatcherMetrics> ModelLoader::metrics_of(const ModelIdentity& identity,
                                                        std::int64_t max_batch) {
  auto& metrics = metrics_[{identity.name, identity.version}];
  if (metrics == nullptr) metrics = std::make_shared<BatcherMetrics>(max_batch);
  return metrics;
}

std::shared_ptr<const Hooks> ModelLoader::hooks_of(const ModelFolder& folder, const ModelCard& card,
                                                   const ModelIdentity& identity) {
  if (card.serving.plugin) {
    auto hooks = load_plugin(folder.path, *card.serving.plugin, identity, options_.allow_plugins);
    log_.info(identity.name + ": answered by the plug-in " + *card.serving.plugin);
    return hooks;
  }
  return options_.hooks ? options_.hooks : std::make_shared<const DefaultHooks>();
}

std::vector<std::unique_ptr<Executor>> ModelLoader::make_executors(
    const std::shared_ptr<const infer::Model>& model, const ServedModel& served,
    const ModelFolder& folder, std::int64_t max_batch) {
  const int count = options_.device.is_host() ? options_.executor_count : 1;
  std::vector<std::unique_ptr<Executor>> executors;
  for (int i = 0; i < count; ++i) {
    auto executor = std::make_unique<SessionExecutor>(model, max_batch, log_, served.hooks);
    if (i == 0) check_sample(folder, model->card(), *executor, log_);
    warm(*executor);
    executors.push_back(std::move(executor));
  }
  return executors;
}

// The loop's thread calls no hooks, so with those it computes nothing.
std::unique_ptr<SessionExecutor> ModelLoader::inline_executor(
    std::shared_ptr<const infer::Model> model, const ServedModel& served, std::int64_t max_batch,
    BatcherOptions& batching) {
  if (options_.inlining == Inlining::off || !options_.device.is_host() ||
      served.hooks->overridden().of_requests())
    return nullptr;
  auto executor =
      std::make_unique<SessionExecutor>(std::move(model), max_batch, log_, served.hooks);
  warm(*executor);
  const Clock::duration time = fastest(*executor, 1);
  const std::string takes = served.identity->name + ": a picture takes " + in_microseconds(time);
  if (options_.inlining == Inlining::automatic && time > kMostInline) {
    log_.info(takes + ", too long for the thread that received it");
    return nullptr;
  }
  const bool alone = options_.executor_count == 1;
  batching.inline_batch = pictures_within(*executor, alone ? kMostInline : kMostInlineBeside);
  batching.inline_pictures =
      batching.inline_batch * (alone && time <= kMostInline ? kInlineBatches : 1);
  log_.info(takes + "; up to " + std::to_string(batching.inline_pictures) +
            " that arrive together are computed by the thread that received them");
  return executor;
}

ModelTable::Entry ModelLoader::load(const ModelFolder& folder) {
  const FolderStamp before = stamp_of(folder.path);
  const ModelDescription description = read_model_description(folder.path);
  const ModelCard& card = description.card;
  const std::string name = name_of(folder, card);
  verify_files(folder.path, card.files);
  if (is_torch_directory(folder.path))
    log_.info(folder.path.string() + ": " + card.data_origin + " holds " + card.name +
              "; without a model.json, pictures are normalised as the workshop does");
  else if (find_file(card, kWeightsFile) == nullptr)
    log_.info(folder.path.string() + ": model.json has no digest of the weights to hold them to");
  const ModelCard::Serving& wish = card.serving;
  const std::int64_t max_batch = options_.max_batch.value_or(wish.max_batch.value_or(kMaxBatch));
  auto served = std::make_shared<ServedModel>();
  served->identity = std::make_shared<const ModelIdentity>(identity_of(card, name, folder.version));
  served->hooks = hooks_of(folder, card, *served->identity);
  served->metrics = metrics_of(*served->identity, max_batch);
  served->request_time = options_.request_time.value_or(
      wish.request_time_ms ? std::chrono::milliseconds(*wish.request_time_ms) : kRequestTime);
  const auto model = network_of(*served->hooks, folder, description, options_.device);
  auto executors = make_executors(model, *served, folder, max_batch);
  if (stamp_of(folder.path) != before)
    throw Error(ErrorKind::io, folder.path.string(), "was written to while it was read");
  BatcherOptions batching{
      .queue_pictures = options_.queue_pictures.value_or(wish.queue.value_or(kQueuePictures)),
      .max_delay = options_.max_delay.value_or(
          std::chrono::microseconds(wish.max_delay_us.value_or(kMaxDelay.count())))};
  auto inlined = inline_executor(model, *served, max_batch, batching);
  if (inlined && options_.executor_count == 1)
    served->turn_requests = static_cast<std::size_t>(batching.inline_batch);
  served->batcher =
      std::make_unique<Batcher>(batching, std::move(executors), std::move(inlined),
                                *served->metrics, [&log = log_, name](std::string_view what) {
                                  log.warning(name + ": a batch failed: " + printable(what));
                                });
  return served;
}

}  // namespace kiln::serve
