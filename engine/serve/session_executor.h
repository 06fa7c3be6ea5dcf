// An executor over a session: a model's pictures into rows of the network's input.
#pragma once

#include <memory>
#include <vector>

#include "engine/core/log.h"
#include "engine/infer/session.h"
#include "engine/serve/batcher.h"
#include "engine/serve/hooks.h"

namespace kiln::serve {

class SessionExecutor final : public Executor {
 public:
  // Computes with one thread, by the hooks' predict_fn. `log` must outlive the executor.
  SessionExecutor(std::shared_ptr<const infer::Model> model, std::int64_t max_batch, Log& log,
                  std::shared_ptr<const Hooks> hooks = std::make_shared<const DefaultHooks>());

  std::int64_t max_batch() const override { return session_.max_batch(); }
  void load(std::int64_t row, const payload::Pictures& pictures, std::int64_t first,
            std::int64_t count) override;
  void run(std::int64_t count) override;
  std::int64_t output_size() const override { return session_.output_size(); }
  std::span<const float> outputs(std::int64_t row, std::int64_t count) const override {
    return outputs_.subspan(static_cast<std::size_t>(row * output_size()),
                            static_cast<std::size_t>(count * output_size()));
  }

  infer::Session& session() { return session_; }

 private:
  const std::shared_ptr<const Hooks> hooks_;
  infer::Session session_;
  std::vector<float> own_;          // of predict_fn
  std::span<const float> outputs_;  // of the last run
};

}  // namespace kiln::serve
