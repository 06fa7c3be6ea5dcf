// A session: the memory that one thread of execution needs to run a model, planned once for every
// size of batch that it runs; a run allocates nothing.
//
//   Session session(model, {.max_batch = 32}, log);
//   session.set_bytes(0, pictures);   // rows of the input, from any mixture of requests
//   session.set_values(2, numbers);
//   session.run(3);
//   session.outputs(0, 2);            // rows of the result
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "engine/core/log.h"
#include "engine/infer/model.h"

namespace kiln::infer {

struct SessionOptions {
  std::int64_t max_batch = 32;
  int thread_count = 1;  // of one run
};

class Session {
 public:
  // `log` must outlive the session.
  Session(std::shared_ptr<const Model> model, const SessionOptions& options, Log& log);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Model& model() const;
  std::int64_t max_batch() const;
  std::int64_t picture_size() const;  // height * width * channels
  std::int64_t output_size() const;   // numbers in a row of the result

  // Fills rows [row, row + k) of the input, k = size / picture_size(). Bytes are pixels [k, H, W,
  // C] and become x = (byte/255 - mean)/std, as in training; values are what the network sees [k,
  // H, W, C], taken as they are. std::logic_error where they do not fit.
  void set_bytes(std::int64_t row, std::span<const std::uint8_t> pixels);
  void set_values(std::int64_t row, std::span<const float> values);

  // f32 [count, H, W, C] of the rows as they were filled: what the network sees. To be asked before
  // run(); valid until the next call of a function that is not const.
  std::span<const float> inputs(std::int64_t row, std::int64_t count);

  // The first `count` rows, 1 <= count <= max_batch. A row's result depends on nothing but the row
  // (on one device): neither on the other rows nor on how many there are.
  void run(std::int64_t count);
  // f32 [count, output_size()] of the last run; valid until the next.
  std::span<const float> outputs(std::int64_t row, std::int64_t count) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kiln::infer
