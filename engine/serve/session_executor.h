// An executor over a session: a model's pictures into rows of the network's input.
#pragma once

#include <memory>

#include "engine/core/log.h"
#include "engine/infer/session.h"
#include "engine/serve/batcher.h"

namespace kiln::serve {

class SessionExecutor final : public Executor {
 public:
  // Computes with one thread. `log` must outlive the executor.
  SessionExecutor(std::shared_ptr<const infer::Model> model, std::int64_t max_batch, Log& log);

  std::int64_t max_batch() const override { return session_.max_batch(); }
  void load(std::int64_t row, const payload::Pictures& pictures, std::int64_t first,
            std::int64_t count) override;
  void run(std::int64_t count) override { session_.run(count); }
  std::int64_t output_size() const override { return session_.output_size(); }
  std::span<const float> outputs(std::int64_t row, std::int64_t count) const override {
    return session_.outputs(row, count);
  }

  infer::Session& session() { return session_; }

 private:
  infer::Session session_;
};

}  // namespace kiln::serve
