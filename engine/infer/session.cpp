#include "engine/infer/session.h"

#include <algorithm>
#include <bit>
#include <deque>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/check.h"
#include "engine/core/context.h"
#include "engine/core/planned_buffer.h"
#include "engine/core/thread_pool.h"
#include "engine/core/transfer.h"
#include "engine/infer/program.h"
#include "kernels/include/normalize_image.h"

namespace kiln::infer {
namespace {

// The same roundings as in training, where the constants are floats.
NormalizeImageArgs input_scale(const ModelCard& card) {
  NormalizeImageArgs args;
  if (card.normalisation == NormalisationMode::per_image) args.mode = NormalizeMode::per_image;
  for (std::size_t c = 0; c < std::min(card.mean.size(), args.mean.size()); ++c) {
    args.mean[c] = static_cast<double>(static_cast<float>(card.mean[c]));
    args.inv_std[c] = 1.0 / static_cast<double>(static_cast<float>(card.std[c]));
  }
  return args;
}

}  // namespace

class Session::Impl {
 public:
  Impl(std::shared_ptr<const Model> model, const SessionOptions& options, Log& log)
      : model_(std::move(model)),
        max_batch_(options.max_batch),
        pool_(options.thread_count),
        context_(model_->device(), pool_, log),
        scale_(input_scale(model_->card())) {
    KILN_CHECK(max_batch_ >= 1);
    context_.mode = Mode::eval;
    make_rows();
    make_programs();
  }

  const Model& model() const { return *model_; }
  std::int64_t max_batch() const { return max_batch_; }
  std::int64_t picture_size() const {
    return model_->spec().height * model_->spec().width * model_->spec().channels;
  }
  std::int64_t output_size() const { return model_->spec().class_count; }

  void set_bytes(std::int64_t row, std::span<const std::uint8_t> pixels) {
    const std::int64_t count = row_count(row, pixels.size());
    if (count == 0) return;
    const Shape shape{count, model_->spec().height, model_->spec().width, model_->spec().channels};
    scale_.x = Tensor(pixels, shape);
    if (!is_host()) {
      scale_.x = Tensor(pictures_.data(), shape, DType::u8, model_->device());
      set_elements(scale_.x, pixels);
    }
    scale_.y = Tensor(input_row(row), shape, DType::f32, model_->device());
    normalize_image(context_, scale_);
  }

  void set_values(std::int64_t row, std::span<const float> values) {
    row_count(row, values.size());
    copy_to_device(model_->device(), input_row(row), values.data(), values.size_bytes());
  }

  std::span<const float> inputs(std::int64_t row, std::int64_t count) {
    KILN_CHECK(row >= 0 && count >= 0 && row <= max_batch_ && count <= max_batch_ - row);
    const auto size = static_cast<std::size_t>(count * picture_size());
    if (is_host()) return {input_row(row), size};
    host_inputs_.resize(size);
    copy_to_host(model_->device(), host_inputs_.data(), input_row(row), size * sizeof(float));
    return host_inputs_;
  }

  void run(std::int64_t count) {
    KILN_CHECK(count >= 1 && count <= max_batch_);
    std::int64_t row = 0;
    for (auto program = programs_.rbegin(); program != programs_.rend(); ++program)
      for (; count - row >= program->batch_size(); row += program->batch_size())
        program->run(context_, input_row(row), output_row(row));
    finished_ = count;
    if (!is_host())
      copy_to_host(model_->device(), host_outputs_.data(), outputs_.data(),
                   static_cast<std::size_t>(count * output_size()) * sizeof(float));
  }

  std::span<const float> outputs(std::int64_t row, std::int64_t count) const {
    KILN_CHECK(row >= 0 && count >= 0 && row <= finished_ && count <= finished_ - row);
    const float* first =
        is_host() ? reinterpret_cast<const float*>(outputs_.data()) : host_outputs_.data();
    return {first + row * output_size(), static_cast<std::size_t>(count * output_size())};
  }

 private:
  bool is_host() const { return model_->device().is_host(); }

  void make_rows() {
    const auto rows = static_cast<std::size_t>(max_batch_);
    const std::size_t picture = rows * static_cast<std::size_t>(picture_size());
    const std::size_t outputs = rows * static_cast<std::size_t>(output_size());
    const Device device = model_->device();
    input_ = planned_buffer("pictures of a batch", device, picture * sizeof(float));
    outputs_ = planned_buffer("results of a batch", device, outputs * sizeof(float));
    if (is_host()) return;
    pictures_ = planned_buffer("bytes of a batch", device, picture);
    host_outputs_.resize(outputs);
  }

  // One for every power of two, all in the memory of the largest.
  void make_programs() {
    const auto largest =
        static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(max_batch_)));
    std::size_t arena_bytes = 0, scratch_bytes = 0;
    for (std::int64_t size = 1; size <= largest; size *= 2) {
      const Program& program = programs_.emplace_back(*model_, size, context_);
      arena_bytes = std::max(arena_bytes, program.arena_bytes());
      scratch_bytes = std::max(scratch_bytes, program.scratch_bytes());
    }
    arena_ = planned_buffer("arena of activations", model_->device(), arena_bytes);
    scratch_ = planned_buffer("scratch memory of the ops", model_->device(), scratch_bytes);
    for (Program& program : programs_) program.place(arena_.data(), scratch_.data());
  }

  std::int64_t row_count(std::int64_t row, std::size_t element_count) const {
    const auto size = static_cast<std::size_t>(picture_size());
    KILN_CHECK(row >= 0 && row <= max_batch_ && element_count % size == 0);
    KILN_CHECK(element_count / size <= static_cast<std::size_t>(max_batch_ - row));
    return static_cast<std::int64_t>(element_count / size);
  }

  float* input_row(std::int64_t row) {
    return reinterpret_cast<float*>(input_.data()) + row * picture_size();
  }
  float* output_row(std::int64_t row) {
    return reinterpret_cast<float*>(outputs_.data()) + row * output_size();
  }

  std::shared_ptr<const Model> model_;
  std::int64_t max_batch_;
  ThreadPool pool_;
  Context context_;
  NormalizeImageArgs scale_;
  Buffer input_, outputs_, arena_, scratch_;
  Buffer pictures_;  // on another device: the bytes that set_bytes sends
  std::vector<float> host_inputs_, host_outputs_;  // of another device
  std::deque<Program> programs_;                   // 1, 2, 4, ...
  std::int64_t finished_ = 0;
};

Session::Session(std::shared_ptr<const Model> model, const SessionOptions& options, Log& log)
    : impl_(std::make_unique<Impl>(std::move(model), options, log)) {}
Session::~Session() = default;

const Model& Session::model() const { return impl_->model(); }
std::int64_t Session::max_batch() const { return impl_->max_batch(); }
std::int64_t Session::picture_size() const { return impl_->picture_size(); }
std::int64_t Session::output_size() const { return impl_->output_size(); }

void Session::set_bytes(std::int64_t row, std::span<const std::uint8_t> pixels) {
  impl_->set_bytes(row, pixels);
}
void Session::set_values(std::int64_t row, std::span<const float> values) {
  impl_->set_values(row, values);
}
std::span<const float> Session::inputs(std::int64_t row, std::int64_t count) {
  return impl_->inputs(row, count);
}
void Session::run(std::int64_t count) { impl_->run(count); }
std::span<const float> Session::outputs(std::int64_t row, std::int64_t count) const {
  return impl_->outputs(row, count);
}

}  // namespace kiln::infer
