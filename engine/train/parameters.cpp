#include "engine/train/parameters.h"

#include <algorithm>
#include <cmath>

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "engine/core/planned_buffer.h"
#include "engine/core/rng.h"
#include "engine/core/transfer.h"
#include "kernels/include/loss_scale_update.h"

namespace kiln {
namespace {

std::size_t aligned(std::size_t size_bytes) {
  return (size_bytes + Buffer::kAlignment - 1) / Buffer::kAlignment * Buffer::kAlignment;
}

std::size_t size_bytes(const Parameter& parameter, DType dtype) {
  return static_cast<std::size_t>(parameter.shape.element_count()) * size_of(dtype);
}

// next() for every element in order, written where the tensor lies, a piece at a time: the largest
// tensor's size again would stay in the heap of a process that has no use for it.
template <class Next>
void fill(const Tensor& tensor, const Next& next) {
  constexpr std::size_t kPiece = 1 << 14;
  const auto count = static_cast<std::size_t>(tensor.element_count());
  visit_float(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> piece(std::min(count, kPiece));
    for (std::size_t begin = 0; begin < count; begin += kPiece) {
      const std::size_t size = std::min(kPiece, count - begin);
      for (std::size_t i = 0; i < size; ++i) piece[i] = static_cast<T>(next());
      copy_to_device(tensor.device(), static_cast<std::byte*>(tensor.raw()) + begin * sizeof(T),
                     piece.data(), size * sizeof(T));
    }
  });
}

// Every element gets the same 24 random bits in f32 and in f64.
void fill_uniform(const Tensor& tensor, float bound, std::uint64_t seed, std::uint32_t place) {
  RandomSequence numbers(seed, RandomStream::initialise, place);
  fill(tensor, [&] { return numbers.next_uniform(-bound, bound); });
}

// The first filters of w [K, R, S, C] become identities: filter i passes channel i.
template <class T>
void set_dirac(const Shape& shape, std::vector<T>& w) {
  const std::int64_t window = shape[1] * shape[2], channels = shape[3];
  for (std::int64_t k = 0; k < std::min(shape[0], channels); ++k) {
    const auto filter = w.begin() + k * window * channels;
    std::fill_n(filter, window * channels, T(0));
    filter[window / 2 * channels + k] = T(1);  // odd extents: the middle
  }
}

// Divided by the unbiased standard deviation, which is summed in double.
template <class T>
void set_unit_std(std::vector<T>& w) {
  const auto count = static_cast<double>(w.size());
  double sum = 0, squares = 0;
  for (const T value : w) sum += static_cast<double>(value);
  for (const T value : w) {
    const double deviation = static_cast<double>(value) - sum / count;
    squares += deviation * deviation;
  }
  const double inverse = 1 / std::sqrt(squares / std::max(count - 1, 1.0));
  for (T& value : w) value = static_cast<T>(static_cast<double>(value) * inverse);
}

void finish_initialisation(const Parameter& p) {
  if (p.initialisation != Initialisation::dirac && p.initialisation != Initialisation::unit_std)
    return;
  visit_float(p.value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> w = elements_of<T>(p.value);
    if (p.initialisation == Initialisation::dirac)
      set_dirac(p.shape, w);
    else
      set_unit_std(w);
    set_elements<T>(p.value, w);
  });
}

std::vector<std::byte> host_bytes(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.size_bytes());
  copy_to_host(tensor.device(), bytes.data(), tensor.raw(), bytes.size());
  return bytes;
}

}  // namespace

ParameterStore::ParameterStore(const ModelSpec& spec, DType dtype, Device device, DType storage)
    : dtype_(dtype), device_(device), storage_(storage) {
  KILN_CHECK(!mixed() || (dtype == DType::f32 && is_16_bit(storage)));
  for (ParameterLayout& layout : parameter_layouts(spec))
    static_cast<ParameterLayout&>(parameters_.emplace_back()) = std::move(layout);
  allocate();
}

ParameterStore ParameterStore::with_own_gradients() const {
  KILN_CHECK(!narrow_gradients());
  ParameterStore twin(dtype_, device_);
  twin.storage_ = storage_;
  twin.parameters_ = parameters_;
  twin.gradients_ =
      planned_buffer("gradients of the parameters", device_, flat_gradients_.size_bytes());
  twin.flat_values_ = flat_values_;
  twin.flat_gradients_ = Tensor(twin.gradients_.data(), flat_gradients_.shape(), dtype_, device_);
  for (Parameter& p : twin.parameters_) {
    if (!p.trainable()) continue;
    const auto at = static_cast<const std::byte*>(p.gradient.raw()) - gradients_.data();
    p.gradient = Tensor(twin.gradients_.data() + at, p.shape, dtype_, device_);
  }
  return twin;
}

void ParameterStore::allocate() {
  std::size_t trainable_bytes = 0, statistics_bytes = 0;
  for (const Parameter& p : parameters_)
    (p.trainable() ? trainable_bytes : statistics_bytes) += aligned(size_bytes(p, dtype_));
  values_ = planned_buffer("parameters", device_, trainable_bytes);
  gradients_ = planned_buffer("gradients of the parameters", device_, trainable_bytes);
  statistics_ = Buffer(device_, statistics_bytes);
  std::size_t trainable_at = 0, statistics_at = 0;
  const auto place = [&](Parameter& p) {
    std::size_t& at = p.trainable() ? trainable_at : statistics_at;
    const Buffer& home = p.trainable() ? values_ : statistics_;
    p.value = p.working = Tensor(home.data() + at, p.shape, dtype_, device_);
    if (p.trainable()) p.gradient = Tensor(gradients_.data() + at, p.shape, dtype_, device_);
    at += aligned(size_bytes(p, dtype_));
  };
  // Those with 16-bit gradients first, so that they are one span.
  for (auto p = parameters_.rbegin(); p != parameters_.rend(); ++p)
    if (!narrow_gradients() || p->narrow()) place(*p);
  const std::size_t narrow_bytes = trainable_at;
  for (auto p = parameters_.rbegin(); p != parameters_.rend(); ++p)
    if (narrow_gradients() && !p->narrow()) place(*p);
  if (mixed()) allocate_fixed_copies();
  const Shape flat{static_cast<std::int64_t>(trainable_bytes / size_of(dtype_))};
  flat_values_ = Tensor(values_.data(), flat, dtype_, device_);
  flat_gradients_ = Tensor(gradients_.data(), flat, dtype_, device_);
  if (narrow_gradients()) return allocate_narrow(narrow_bytes);
  if (mixed()) allocate_copies();
  spans_ = {{flat_values_, flat_gradients_, flat_copies_, 0}};
}

// Beside every value, so that offsets are half as large; weights are what is read of them.
void ParameterStore::allocate_copies() {
  copies_ =
      planned_buffer("16-bit copies of the parameters", device_, flat_values_.size_bytes() / 2);
  flat_copies_ = Tensor(copies_.data(), flat_values_.shape(), storage_, device_);
  for (Parameter& p : parameters_) {
    if (!p.trainable() || !read_narrow(p)) continue;
    const auto at = static_cast<std::byte*>(p.value.raw()) - values_.data();
    p.working = Tensor(copies_.data() + at / 2, p.shape, storage_, device_);
  }
}

void ParameterStore::allocate_fixed_copies() {
  for (Parameter& p : parameters_) {
    if (p.trainable() || !read_narrow(p)) continue;
    const Buffer& home = fixed_copies_.emplace_back(device_, size_bytes(p, storage_));
    p.working = Tensor(home.data(), p.shape, storage_, device_);
  }
}

// The f32 gradients keep the offsets of the values; those of the first `narrow_bytes` are not used
// and moved to 16 bits, where every offset is half as large.
void ParameterStore::allocate_narrow(std::size_t narrow_bytes) {
  const std::size_t all_bytes = flat_values_.size_bytes();
  copies_ = planned_buffer("16-bit copies of the parameters", device_, narrow_bytes / 2);
  narrow_gradient_home_ = planned_buffer("gradients of the parameters", device_, narrow_bytes / 2);
  gradients_ = planned_buffer("gradients of the parameters", device_, all_bytes - narrow_bytes);
  for (Parameter& p : parameters_) {
    if (!p.trainable()) continue;
    const auto at =
        static_cast<std::size_t>(static_cast<std::byte*>(p.value.raw()) - values_.data());
    if (p.narrow()) {
      p.working = Tensor(copies_.data() + at / 2, p.shape, storage_, device_);
      p.gradient = Tensor(narrow_gradient_home_.data() + at / 2, p.shape, storage_, device_);
    } else {
      p.gradient = Tensor(gradients_.data() + at - narrow_bytes, p.shape, dtype_, device_);
    }
  }
  const auto flat = [&](std::byte* data, std::size_t value_bytes, DType dtype) {
    return Tensor(data, {static_cast<std::int64_t>(value_bytes / sizeof(float))}, dtype, device_);
  };
  flat_gradients_ = {};
  spans_.push_back({flat(values_.data(), narrow_bytes, dtype_),
                    flat(narrow_gradient_home_.data(), narrow_bytes, storage_),
                    flat(copies_.data(), narrow_bytes, storage_), 0});
  const std::size_t wide_bytes = all_bytes - narrow_bytes;
  if (wide_bytes > 0)
    spans_.push_back({flat(values_.data() + narrow_bytes, wide_bytes, dtype_),
                      flat(gradients_.data(), wide_bytes, dtype_),
                      {},
                      narrow_bytes});
  if (storage_ != DType::f16) return;
  loss_scale_home_ = Buffer(device_, kLossScaleSize * sizeof(float));
  loss_scale_ = Tensor(loss_scale_home_.data(), {kLossScaleSize}, DType::f32, device_);
  const float state[kLossScaleSize] = {kFirstLossScale, 0, 0, 0};
  set_elements<float>(loss_scale_, state);
}

Parameter& ParameterStore::find(std::string_view name) {
  return const_cast<Parameter&>(std::as_const(*this).find(name));
}

const Parameter& ParameterStore::find(std::string_view name) const {
  for (const Parameter& parameter : parameters_)
    if (parameter.name == name) return parameter;
  throw Error(ErrorKind::input, "parameter " + printable(name), "is not in this network");
}

bool ParameterStore::contains(std::string_view name) const {
  return std::ranges::any_of(parameters_, [&](const Parameter& p) { return p.name == name; });
}

std::int64_t ParameterStore::trainable_count() const {
  std::int64_t count = 0;
  for (const Parameter& p : parameters_)
    if (p.trainable()) count += p.shape.element_count();
  return count;
}

void ParameterStore::initialise(std::uint64_t seed) {
  std::uint32_t place = 0;
  for (const Parameter& p : parameters_) {
    switch (p.role) {
      case ParameterRole::weight:
      case ParameterRole::bias:
        fill_uniform(p.value, static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.fan_in))),
                     seed, place);
        finish_initialisation(p);
        break;
      case ParameterRole::norm_scale:
      case ParameterRole::running_variance:
        fill(p.value, [] { return 1.0; });
        break;
      case ParameterRole::norm_shift:
      case ParameterRole::running_mean:
        fill(p.value, [] { return 0.0; });
        break;
    }
    ++place;
  }
}

void to_file_order(const Parameter& p, const Tensor& memory, const Tensor& file) {
  std::vector<std::byte> from = host_bytes(memory), to(file.size_bytes());
  to_file_order(p, size_of(memory.dtype()), from, to);
  copy_to_device(file.device(), file.raw(), to.data(), to.size());
}

void to_memory_order(const Parameter& p, const Tensor& file, const Tensor& memory) {
  std::vector<std::byte> from = host_bytes(file), to(memory.size_bytes());
  to_memory_order(p, size_of(memory.dtype()), from, to);
  copy_to_device(memory.device(), memory.raw(), to.data(), to.size());
}

}  // namespace kiln
