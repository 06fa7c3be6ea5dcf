#include "engine/serve/session_executor.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "engine/serve/hook_call.h"

namespace kiln::serve {

SessionExecutor::SessionExecutor(std::shared_ptr<const infer::Model> model, std::int64_t max_batch,
                                 Log& log, std::shared_ptr<const Hooks> hooks)
    : hooks_(std::move(hooks)),
      session_(std::move(model), {.max_batch = max_batch, .thread_count = 1}, log) {}

void SessionExecutor::load(std::int64_t row, const payload::Pictures& pictures, std::int64_t first,
                           std::int64_t count) {
  const std::int64_t size = session_.picture_size();
  const auto from = static_cast<std::size_t>(first * size);
  const auto length = static_cast<std::size_t>(count * size);
  if (pictures.values.empty())
    session_.set_bytes(row, pictures.pixels().subspan(from, length));
  else
    session_.set_values(row, std::span(pictures.values).subspan(from, length));
}

void SessionExecutor::run(std::int64_t count) {
  outputs_ = {};
  const std::span<const float> made =
      call_hook("predict_fn", [&] { return hooks_->predict_fn(session_, count, own_); });
  if (made.size() != static_cast<std::size_t>(count * output_size()))
    throw std::runtime_error("predict_fn made " + std::to_string(made.size()) + " numbers for " +
                             std::to_string(count) + " rows of " + std::to_string(output_size()));
  outputs_ = made;
}

}  // namespace kiln::serve
