// The demo page: a person gives a picture, sees it as the network sees it, and gets the classes.
//
//   GET  /, /ui/app.js, /ui/style.css, /ui/icon.svg
//   GET  /ui/models                 [{"name", "version", "height", "width", "channels", "classes",
//                                   "accuracy", "data", "synthetic"}], of each model the newest
//                                   version; accuracy is a fraction or null
//   POST /ui/models/M/input         image/png or image/jpeg in; out come the bytes [H, W, C] that
//                                   the network gets of it
//
// The browser is told to load nothing from elsewhere and to run no script but the page's own, and
// that nobody may frame it. Predictions and their rate come from /invocations and /metrics.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/http/http_server.h"
#include "engine/payload/decode.h"
#include "engine/serve/request_metrics.h"
#include "engine/serve/served_model.h"
#include "engine/serve/workers.h"

namespace kiln::serve {

class DemoPage {
 public:
  // `models` and `workers` must outlive the page. What waits in `workers` needs the page no more.
  DemoPage(const ModelTable& models, Workers& workers, const payload::DecodeLimits& limits,
           int overload_status, std::shared_ptr<RequestMetrics> metrics)
      : models_(models),
        workers_(workers),
        limits_(limits),
        overload_status_(overload_status),
        metrics_(std::move(metrics)) {}

  // Whether a path is the page's to answer.
  static bool owns(std::string_view path) { return path == "/" || path.starts_with("/ui/"); }
  // nullopt: a worker completes the reply, and counts it.
  std::optional<http::HttpReply> handle(http::HttpRequest& request, std::string_view path) const;

 private:
  std::optional<http::HttpReply> start_input(http::HttpRequest& request,
                                             std::string_view name) const;

  const ModelTable& models_;
  Workers& workers_;
  const payload::DecodeLimits limits_;
  const int overload_status_;
  const std::shared_ptr<RequestMetrics> metrics_;
};

}  // namespace kiln::serve
