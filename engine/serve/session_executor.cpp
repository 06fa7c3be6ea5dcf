#include "engine/serve/session_executor.h"

#include <utility>

namespace kiln::serve {

SessionExecutor::SessionExecutor(std::shared_ptr<const infer::Model> model, std::int64_t max_batch,
                                 Log& log)
    : session_(std::move(model), {.max_batch = max_batch, .thread_count = 1}, log) {}

void SessionExecutor::load(std::int64_t row, const payload::Pictures& pictures, std::int64_t first,
                           std::int64_t count) {
  const std::int64_t size = session_.picture_size();
  const auto from = static_cast<std::size_t>(first * size);
  const auto length = static_cast<std::size_t>(count * size);
  if (pictures.bytes.empty())
    session_.set_values(row, std::span(pictures.values).subspan(from, length));
  else
    session_.set_bytes(row, std::span(pictures.bytes).subspan(from, length));
}

}  // namespace kiln::serve
