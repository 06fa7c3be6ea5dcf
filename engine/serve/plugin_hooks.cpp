#include "engine/serve/plugin_hooks.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "engine/core/error.h"
#include "engine/serve/hook_call.h"

namespace kiln::serve {
namespace {

std::string words_of(const KilnError& error) {
  const std::string text = printable(error.text, sizeof error.text);
  return text.empty() ? "the plug-in gave no reason" : text;
}

// Calls a function of the plug-in and throws what its status means. An exception that leaves it,
// against the rules, is an error of the plug-in as well, if it comes this far. False where the
// plug-in leaves it to the server, if it may.
enum class NotMine { allowed, fault };
template <class Call>
bool check_call(const char* function, NotMine not_mine, const Call& call) {
  KilnError error = {};
  const std::int32_t status = call_hook(function, [&] { return call(&error); });
  error.text[sizeof error.text - 1] = '\0';
  if (status == 0) return true;
  if (status == KILN_NOT_MINE && not_mine == NotMine::allowed) return false;
  if (status >= 400 && status <= 599 && status != 500)
    throw payload::Refusal(status, words_of(error));
  throw std::runtime_error(std::string(function) + " failed with " + std::to_string(status) + ": " +
                           words_of(error));
}

// What the plug-in fills. It sees the base, whose functions find the rest.
struct PicturesOfPlugin : KilnPictures {
  PicturesOfPlugin(std::int64_t most, std::int64_t size)
      : KilnPictures{.limit = static_cast<std::uint64_t>(most),
                     .pixels =
                         [](KilnPictures* self, std::uint64_t count) noexcept {
                           return take(self, &payload::Pictures::bytes, count);
                         },
                     .values =
                         [](KilnPictures* self, std::uint64_t count) noexcept {
                           return take(self, &payload::Pictures::values, count);
                         }},
        picture_limit(static_cast<std::uint64_t>(most)),
        picture_size(static_cast<std::uint64_t>(size)) {}

  template <class T>
  static T* take(KilnPictures* self, std::vector<T> payload::Pictures::*elements,
                 std::uint64_t count) noexcept {
    auto& all = *static_cast<PicturesOfPlugin*>(self);
    if (all.pictures.count != 0 || count == 0 || count > all.picture_limit) return nullptr;
    try {
      (all.pictures.*elements).resize(count * all.picture_size);
    } catch (const std::exception&) {
      return nullptr;
    }
    all.pictures.count = static_cast<std::int64_t>(count);
    return (all.pictures.*elements).data();
  }

  payload::Pictures pictures;
  const std::uint64_t picture_limit, picture_size;
};

struct ReplyOfPlugin : KilnReply {
  ReplyOfPlugin()
      : KilnReply{.limit = kPluginReplyBytes, .content_type = set_type, .write = append} {}

  static std::int32_t set_type(KilnReply* self, const char* type) noexcept {
    if (type == nullptr) return 1;
    try {
      static_cast<ReplyOfPlugin*>(self)->reply.content_type = type;
      return 0;
    } catch (const std::exception&) {
      return 1;
    }
  }
  static std::int32_t append(KilnReply* self, const void* bytes, std::uint64_t size) noexcept {
    auto& all = *static_cast<ReplyOfPlugin*>(self);
    all.too_large = all.too_large || size > kPluginReplyBytes - all.reply.body.size();
    if (all.too_large) return 1;
    try {
      if (size > 0) all.reply.body.append(static_cast<const char*>(bytes), size);
      return 0;
    } catch (const std::exception&) {
      return 1;
    }
  }

  HookReply reply;
  bool too_large = false;
};

struct BatchOfPlugin : KilnBatch {
  BatchOfPlugin(infer::Session& s, std::int64_t rows, std::vector<float>& own)
      : KilnBatch{.count = static_cast<std::uint64_t>(rows),
                  .picture_size = static_cast<std::uint64_t>(s.picture_size()),
                  .output_size = static_cast<std::uint64_t>(s.output_size()),
                  .inputs = s.inputs(0, rows).data(),
                  .outputs = own.data(),
                  .run = run_network},
        session(s),
        row_count(rows),
        results(own) {}

  // An exception waits until the plug-in has returned.
  static std::int32_t run_network(KilnBatch* self) noexcept {
    auto& all = *static_cast<BatchOfPlugin*>(self);
    try {
      all.session.run(all.row_count);
      std::ranges::copy(all.session.outputs(0, all.row_count), all.results.begin());
      return 0;
    } catch (...) {
      all.fault = std::current_exception();
      return 1;
    }
  }

  infer::Session& session;
  const std::int64_t row_count;
  std::vector<float>& results;
  std::exception_ptr fault = nullptr;
};

HookSet set_of(const KilnHooks& table) {
  return {.model_fn = false,  // the network is the server's; the plug-in's state is made beside it
          .input_fn = table.input_fn != nullptr,
          .predict_fn = table.predict_fn != nullptr,
          .output_fn = table.output_fn != nullptr,
          .transform_fn = table.transform_fn != nullptr};
}

class PluginHooks final : public Hooks {
 public:
  PluginHooks(const KilnHooks& table, std::shared_ptr<const void> library, const std::string& thing,
              const Path& directory, const ModelIdentity& identity)
      : Hooks(set_of(table)),
        library_(std::move(library)),
        table_(table),
        directory_(directory.string()),
        identity_(identity) {
    for (const std::string& name : identity_.classes) classes_.push_back(name.c_str());
    const auto extent = [](std::int64_t value) { return static_cast<std::uint32_t>(value); };
    model_ = {.name = identity_.name.c_str(),
              .version = identity_.version.c_str(),
              .directory = directory_.c_str(),
              .height = extent(identity_.shape.height),
              .width = extent(identity_.shape.width),
              .channels = extent(identity_.shape.channels),
              .class_count = static_cast<std::uint32_t>(classes_.size()),
              .classes = classes_.data(),
              .state = nullptr};
    start(thing);
  }
  PluginHooks(const PluginHooks&) = delete;
  PluginHooks& operator=(const PluginHooks&) = delete;
  ~PluginHooks() override {
    try {
      if (table_.model_free != nullptr) table_.model_free(&model_);
    } catch (...) {  // NOLINT(bugprone-empty-catch): nobody is left to hear of it
    }
  }

  payload::Pictures input_fn(const InputRequest& request) const override;
  std::span<const float> predict_fn(infer::Session& session, std::int64_t count,
                                    std::vector<float>& own) const override;
  HookReply output_fn(const OutputRequest& request) const override;
  HookReply transform_fn(const TransformRequest& request) const override;

 private:
  void start(const std::string& thing) {
    if (table_.model_fn == nullptr) return;
    try {
      check_call("model_fn", NotMine::fault,
                 [&](KilnError* error) { return table_.model_fn(&model_, error); });
    } catch (const std::exception& fault) {
      throw Error(ErrorKind::input, thing, std::string("does not take the model: ") + fault.what());
    }
  }

  const std::shared_ptr<const void> library_;  // goes last
  const KilnHooks table_;
  const std::string directory_;
  const ModelIdentity identity_;
  std::vector<const char*> classes_;
  KilnModel model_;
};

payload::Pictures PluginHooks::input_fn(const InputRequest& request) const {
  if (table_.input_fn == nullptr) return Hooks::input_fn(request);
  const std::string type(request.content_type);
  const KilnRequest asked{.body = request.body.data(),
                          .body_bytes = request.body.size(),
                          .content_type = type.c_str(),
                          .accept = ""};
  PicturesOfPlugin taken(request.limits.picture_count, identity_.shape.size());
  const bool mine = check_call("input_fn", NotMine::allowed, [&](KilnError* error) {
    return table_.input_fn(&model_, &asked, &taken, error);
  });
  return mine ? std::move(taken.pictures) : Hooks::input_fn(request);
}

std::span<const float> PluginHooks::predict_fn(infer::Session& session, std::int64_t count,
                                               std::vector<float>& own) const {
  if (table_.predict_fn == nullptr) return Hooks::predict_fn(session, count, own);
  own.assign(static_cast<std::size_t>(count * session.output_size()), 0.0f);
  BatchOfPlugin batch(session, count, own);
  check_call("predict_fn", NotMine::fault, [&](KilnError* error) {
    const std::int32_t status = table_.predict_fn(&model_, &batch, error);
    if (batch.fault) std::rethrow_exception(batch.fault);
    return status;
  });
  return own;
}

void check_size(const char* function, const ReplyOfPlugin& reply) {
  if (reply.too_large)
    throw std::runtime_error(std::string(function) + " wrote more than " +
                             std::to_string(kPluginReplyBytes) + " bytes");
}

HookReply PluginHooks::output_fn(const OutputRequest& request) const {
  if (table_.output_fn == nullptr) return Hooks::output_fn(request);
  const std::string accept(request.accept);
  const KilnOutputs outputs{.values = request.values.data(),
                            .rows = static_cast<std::uint64_t>(request.rows),
                            .columns = static_cast<std::uint64_t>(request.columns),
                            .accept = accept.c_str()};
  ReplyOfPlugin reply;
  const bool mine = check_call("output_fn", NotMine::allowed, [&](KilnError* error) {
    return table_.output_fn(&model_, &outputs, &reply, error);
  });
  if (!mine) return Hooks::output_fn(request);
  check_size("output_fn", reply);
  return std::move(reply.reply);
}

HookReply PluginHooks::transform_fn(const TransformRequest& request) const {
  const std::string type(request.content_type), accept(request.accept);
  const KilnRequest asked{.body = request.body.data(),
                          .body_bytes = request.body.size(),
                          .content_type = type.c_str(),
                          .accept = accept.c_str()};
  ReplyOfPlugin reply;
  check_call("transform_fn", NotMine::fault,
             [&](KilnError* error) { return table_.transform_fn(&model_, &asked, &reply, error); });
  check_size("transform_fn", reply);
  return std::move(reply.reply);
}

[[noreturn]] void refuse(const std::string& thing, const std::string& wrong,
                         const std::string& mend) {
  throw Error(ErrorKind::unsupported, thing, wrong, mend);
}

void check_table(const KilnHooks* table, const std::string& thing) {
  const std::string rebuild = "build it against this kiln's engine/serve/plugin_api.h";
  if (table == nullptr) refuse(thing, "has no hooks for this kiln: kiln_hooks() returned NULL", "");
  if (table->version != KILN_PLUGIN_VERSION)
    refuse(thing,
           "is of version " + std::to_string(table->version) +
               " of the interface for plug-ins; this kiln speaks version " +
               std::to_string(KILN_PLUGIN_VERSION),
           rebuild);
  if (table->size != sizeof(KilnHooks))
    refuse(thing,
           "has a table of " + std::to_string(table->size) + " bytes; version " +
               std::to_string(KILN_PLUGIN_VERSION) + " has " + std::to_string(sizeof(KilnHooks)),
           rebuild);
  const HookSet set = set_of(*table);
  if (!set.exclusive())
    refuse(thing, "has transform_fn beside input_fn, predict_fn or output_fn, whose place it takes",
           "leave one of the two out");
  if (!set.of_requests() && table->model_fn == nullptr)
    refuse(thing, "has a table without one function", "set at least one");
}

}  // namespace

std::shared_ptr<const Hooks> make_plugin_hooks(const KilnHooks* table,
                                               std::shared_ptr<const void> library,
                                               const std::string& thing, const Path& directory,
                                               const ModelIdentity& identity) {
  check_table(table, thing);
  return std::make_shared<PluginHooks>(*table, std::move(library), thing, directory, identity);
}

}  // namespace kiln::serve
