#include "engine/serve/ui/demo_page.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <exception>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/payload/json_writer.h"
#include "engine/payload/media_type.h"
#include "engine/payload/refusal.h"
#include "engine/serve/job.h"
#include "engine/serve/replies.h"
#include "engine/serve/ui/page_files.h"

namespace kiln::serve {
namespace {

using http::error_reply;
using http::HttpReply;
using http::HttpRequest;

constexpr std::string_view kModels = "/ui/models", kInput = "/input";

// Nothing from elsewhere, no script and no style within the markup; `blob:` is the picture that a
// person chose. Trusted types: a browser that knows them lets no text become markup.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

HttpReply guarded(HttpReply reply) {
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, std::string_view>>{
           {"Content-Security-Policy", kPolicy},
           {"X-Content-Type-Options", "nosniff"},
           {"Referrer-Policy", "no-referrer"},
           {"Cross-Origin-Resource-Policy", "same-origin"},
           {"Cache-Control", "no-cache"}})
    reply.fields.push_back({name, std::string(value)});
  return reply;
}

struct Asset {
  std::string_view path, content_type, PageFiles::*bytes;
};
constexpr std::array<Asset, 4> kAssets = {{
    {"/", "text/html; charset=utf-8", &PageFiles::page_html},
    {"/ui/app.js", "text/javascript; charset=utf-8", &PageFiles::app_js},
    {"/ui/style.css", "text/css; charset=utf-8", &PageFiles::style_css},
    {"/ui/icon.svg", "image/svg+xml", &PageFiles::icon_svg},
}};

std::string json_text(std::string_view text) {
  std::string out;
  payload::append_json_string(out, text);
  return out;
}

std::string list_of(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.back() != '[') out += ',';
    payload::append_json_string(out, text);
  }
  return out + ']';
}

std::string number_or_null(std::optional<double> number) {
  if (!number || !std::isfinite(*number)) return "null";
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), *number).ptr};
}

std::string joined(std::initializer_list<std::string_view> pieces) {
  std::string out;
  for (const std::string_view piece : pieces) out += piece;
  return out;
}

std::string model_json(const ModelIdentity& model) {
  const auto& [height, width, channels] = model.shape;
  return joined({R"({"name":)", json_text(model.name), R"(,"version":)", json_text(model.version),
                 R"(,"height":)", std::to_string(height), R"(,"width":)", std::to_string(width),
                 R"(,"channels":)", std::to_string(channels), R"(,"classes":)",
                 list_of(model.classes), R"(,"accuracy":)", number_or_null(model.accuracy),
                 R"(,"data":)", json_text(model.data_name), R"(,"synthetic":)",
                 model.synthetic ? "true}" : "false}"});
}

// In JSON a `<` stands within strings only; escaped, no reader takes the text for markup.
std::string without_markup(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) c == '<' ? out.append("\\u003c") : out.append(1, c);
  return out;
}

std::string models_json(const std::vector<ModelTable::Entry>& models) {
  std::string out = "[";
  for (std::size_t i = 0; i < models.size(); ++i) {
    const ModelIdentity& model = *models[i]->identity;
    // The table lists a model's versions together, the newest last.
    if (i + 1 < models.size() && models[i + 1]->identity->name == model.name) continue;
    if (out.back() != '[') out += ',';
    out += model_json(model);
  }
  return without_markup(out + "]");
}

bool names_picture(std::string_view content_type) {
  const auto type = payload::parse_media_type(content_type);
  return type && (type->is("image") || type->is("application", "x-image"));
}

// A picture on its way to what the network gets of it. Owns all that it needs.
class InputJob {
 public:
  InputJob(HttpRequest& request, std::shared_ptr<const ModelIdentity> model,
           const payload::DecodeLimits& limits, std::shared_ptr<RequestMetrics> metrics)
      : content_type_(request.header.field("Content-Type")),
        request_id_(request_id_of(request.header)),
        body_(request.body.take()),
        model_(std::move(model)),
        limits_(limits),
        metrics_(std::move(metrics)) {}

  HttpReply run() const {
    try {
      const payload::Pictures pictures =
          payload::decode_pictures(body_, content_type_, model_->shape, limits_);
      return finish({.content_type = "application/octet-stream",
                     .body = {pictures.bytes.begin(), pictures.bytes.end()},
                     .fields = {}});
    } catch (const payload::Refusal& refusal) {
      return fail(refusal.status(), refusal.what());
    } catch (const std::exception&) {
      return fail(500, "the picture could not be decoded");
    }
  }
  HttpReply fail(int status, std::string_view message) const {
    return finish(error_reply(status, message));
  }

 private:
  HttpReply finish(HttpReply reply) const {
    metrics_->count(Endpoint::other, reply.status, Clock::now() - begin_);
    if (reply.status == 429 || reply.status == 503) reply.fields.push_back({"Retry-After", "1"});
    if (!request_id_.empty()) reply.fields.push_back({"X-Request-Id", request_id_});
    return guarded(std::move(reply));
  }

  const Clock::time_point begin_ = Clock::now();
  const std::string content_type_, request_id_, body_;
  const std::shared_ptr<const ModelIdentity> model_;
  const payload::DecodeLimits limits_;
  const std::shared_ptr<RequestMetrics> metrics_;
};

}  // namespace

std::optional<HttpReply> DemoPage::handle(HttpRequest& request, std::string_view path) const {
  for (const Asset& asset : kAssets)
    if (path == asset.path)
      return guarded(only_get(request, [&] {
        return HttpReply{.content_type = std::string(asset.content_type),
                         .body = std::string(kPageFiles.*asset.bytes),
                         .fields = {}};
      }));
  if (path == kModels)
    return guarded(only_get(request, [&] { return json_reply(200, models_json(models_.all())); }));
  // /ui/models/M/input
  if (path.starts_with(kModels) && path.ends_with(kInput)) {
    std::string_view name = path.substr(kModels.size());
    name.remove_suffix(std::min(name.size(), kInput.size()));
    if (name.starts_with('/')) return start_input(request, name.substr(1));
  }
  return guarded(error_reply(404, "there is nothing at this path"));
}

std::optional<HttpReply> DemoPage::start_input(HttpRequest& request, std::string_view name) const {
  const ModelTable::Entry model = name.empty() ? nullptr : models_.find(name);
  if (model == nullptr) return guarded(error_reply(404, "there is no model of this name"));
  if (request.header.method != "POST") return guarded(wrong_method("POST"));
  if (!names_picture(request.header.field("Content-Type")))
    return guarded(
        error_reply(415, "Content-Type: names no picture; send image/png or image/jpeg"));
  const auto job = std::make_shared<InputJob>(request, model->identity, limits_, metrics_);
  const std::shared_ptr<http::DeferredReply> deferred = request.defer();
  if (!workers_.add([job, deferred] { deferred->complete(job->run()); }))
    deferred->complete(job->fail(overload_status_, "too many requests wait"));
  return std::nullopt;
}

}  // namespace kiln::serve
