#include "engine/serve/multi_model.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <malloc.h>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "engine/core/error.h"
#include "engine/payload/json_writer.h"
#include "engine/payload/refusal.h"
#include "engine/serve/load_request.h"
#include "engine/serve/replies.h"
#include "models/model_directory.h"

namespace kiln::serve {
namespace {

namespace fs = std::filesystem;

using http::error_reply;
using http::HttpReply;
using payload::Refusal;

constexpr std::size_t kWaiting = 64;  // loads and unloads
constexpr int kNoRoom = 507;
constexpr std::string_view kInvoke = "/invoke";

void append_model(std::string& out, std::string_view name, std::string_view url) {
  out += R"({"modelName": )";
  payload::append_json_string(out, name);
  out += R"(, "modelUrl": )";
  payload::append_json_string(out, url);
  out += '}';
}

HttpReply model_reply(std::string_view name, std::string_view url) {
  std::string body;
  append_model(body, name, url);
  return json_reply(200, body + "\n");
}

HttpReply no_model() { return error_reply(404, "no model of this name is loaded"); }

// The folder that `url` names, free of links; it lies below the root.
Path resolve(const Path& root, const std::string& url) {
  std::error_code no_root, failed;
  std::string inside = fs::canonical(root, no_root).string();
  Path folder = fs::canonical(root / url, failed);  // an absolute url stands for itself
  if (failed || url.find('\0') != url.npos || !fs::is_directory(folder, failed))
    throw Refusal(404, "url: there is no such folder");
  if (!inside.ends_with('/')) inside += '/';
  if (no_root || !folder.string().starts_with(inside))
    throw Refusal(400, "url: does not lie below the folder of models that this server was given");
  return folder;
}

// The newest version of the one model that the folder holds.
ModelFolder model_in(const Path& folder, const std::string& name) {
  const std::vector<ModelFolder> found = find_models(folder);
  if (found.front().name != found.back().name)
    throw Refusal(400, "url: holds several models; name the folder of one");
  ModelFolder newest = found.back();
  newest.name = name;
  return newest;
}

// A client reads the url that it sent in place of the folder that it stands for.
std::string without_folder(std::string text, const std::string& folder) {
  for (std::size_t at = 0; (at = text.find(folder, at)) != text.npos; at += 3)
    text.replace(at, folder.size(), "url");
  return text;
}

// Requests that found a model hold it until they are answered.
void wait_until_sole_owner(const ModelTable::Entry& model) {
  const auto end = Clock::now() + model->request_time;
  while (model.use_count() > 1 && Clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

MultiModel::MultiModel(ModelTable& table, ModelLoader& loader, const MultiModelOptions& options,
                       Log& log)
    : table_(table), loader_(loader), options_(options), log_(log), thread_(1, kWaiting) {}

std::optional<std::string_view> MultiModel::invoked_model(std::string_view path) {
  if (!path.starts_with(kBelow) || !path.ends_with(kInvoke)) return std::nullopt;
  path.remove_prefix(kBelow.size());
  if (path.size() <= kInvoke.size()) return std::nullopt;
  return path.substr(0, path.size() - kInvoke.size());
}

std::optional<HttpReply> MultiModel::handle(http::HttpRequest& request) {
  const std::string_view target = request.header.target, method = request.header.method;
  const std::string_view path = target.substr(0, target.find('?'));
  const bool is_get = method == "GET" || method == "HEAD";
  try {
    if (path.size() <= kBelow.size()) {
      if (is_get) return list(target.substr(std::min(target.size(), path.size() + 1)));
      if (method != "POST") return wrong_method("GET, HEAD, POST");
      return later(request,
                   [this, asked = read_load_request(request.body.view())] { return load(asked); });
    }
    const auto name = decode_percent(path.substr(kBelow.size()));
    if (!name) return error_reply(400, "the model's name in the path is not percent-encoded");
    if (is_get) return describe(*name);
    if (method != "DELETE") return wrong_method("GET, HEAD, DELETE");
    return later(request, [this, name = *name] { return unload(name); });
  } catch (const Refusal& refusal) {
    return error_reply(refusal.status(), refusal.what());
  }
}

std::optional<HttpReply> MultiModel::later(http::HttpRequest& request,
                                           std::function<HttpReply()> work) {
  const Deferred deferred = request.defer();
  const auto answer = [deferred, work = std::move(work)] {
    try {
      deferred->complete(work());
    } catch (const Refusal& refusal) {
      deferred->complete(error_reply(refusal.status(), refusal.what()));
    } catch (const std::exception&) {  // the last owner of the reply answers 500
    }
  };
  if (!thread_.add(answer))
    deferred->complete(error_reply(503, "too many models are to be loaded or unloaded"));
  return std::nullopt;
}

HttpReply MultiModel::list(std::string_view query) const {
  const PageRequest page = read_page_request(query);
  std::string body = R"({"models": [)";
  const std::lock_guard lock(mutex_);
  auto at = page.after.empty() ? urls_.begin() : urls_.upper_bound(page.after);
  const auto first = at;
  for (std::size_t i = 0; i < page.limit && at != urls_.end(); ++i, ++at) {
    if (i > 0) body += ", ";
    append_model(body, at->first, at->second);
  }
  body += ']';
  if (at != urls_.end() && at != first)
    body += R"(, "nextPageToken": ")" + page_token(std::prev(at)->first) + '"';
  return json_reply(200, body + "}\n");
}

HttpReply MultiModel::describe(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = urls_.find(name);
  return found == urls_.end() ? no_model() : model_reply(name, found->second);
}

std::optional<std::string> MultiModel::shortage(std::uint64_t more) const {
  const std::lock_guard lock(mutex_);
  if (options_.model_count > 0 && urls_.size() >= options_.model_count)
    return "as many models are loaded as may be at once";
  if (options_.memory_bytes > 0 && options_.resident_bytes() + more > options_.memory_bytes)
    return "no memory is left for this model";
  return std::nullopt;
}

HttpReply MultiModel::load(const LoadRequest& asked) {
  if (table_.find(asked.name) != nullptr)
    return error_reply(409, "a model of this name is loaded already");
  const Path folder = resolve(options_.root, asked.url);
  std::string fault;
  int status = 400;
  try {
    HttpReply reply = load_from(asked, folder);
    if (reply.status != 200) ::malloc_trim(0);
    return reply;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::io) status = 500;
    fault = error.what();
  } catch (const std::bad_alloc&) {
    status = kNoRoom;
    fault = "no memory is left for this model";
  } catch (const std::system_error&) {
    status = kNoRoom;
    fault = "no thread is left for this model";
  }
  ::malloc_trim(0);
  table_.loads().failed.add();
  log_.warning("not loaded: " + printable(asked.name) + ": " + printable(fault, 4096));
  return error_reply(status, printable(without_folder(fault, folder.string()), 1024));
}

HttpReply MultiModel::load_from(const LoadRequest& asked, const Path& folder) {
  const ModelFolder model = model_in(folder, asked.name);
  std::error_code failed;
  const std::uintmax_t weights = fs::file_size(model.path / kWeightsFile, failed);
  if (const auto why = shortage(failed ? 0 : weights)) return error_reply(kNoRoom, *why);
  ModelTable::Entry loaded = loader_.load(model);
  if (const auto why = shortage(0)) {
    loader_.forget(asked.name);
    return error_reply(kNoRoom, *why);
  }
  table_.put(std::move(loaded));
  {
    const std::lock_guard lock(mutex_);
    urls_[asked.name] = asked.url;
  }
  table_.loads().loaded.add();
  log_.info("loaded: " + printable(asked.name) + " from " + printable(folder.string(), 4096));
  return model_reply(asked.name, asked.url);
}

HttpReply MultiModel::unload(const std::string& name) {
  ModelTable::Entry model = table_.find(name);
  if (model == nullptr) return no_model();
  table_.remove(name, model->identity->version);
  {
    const std::lock_guard lock(mutex_);
    urls_.erase(name);
  }
  model->batcher->stop();
  wait_until_sole_owner(model);
  loader_.forget(name);
  model.reset();
  ::malloc_trim(0);
  log_.info("unloaded: " + printable(name));
  return json_reply(200, "{}\n");
}

}  // namespace kiln::serve
