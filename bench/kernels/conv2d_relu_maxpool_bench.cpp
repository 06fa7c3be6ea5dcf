// The fused convolution, relu and pooling. Work is what the definition asks for: the forward pass
// counts every product of the convolution, the gradient those of the live windows, half of all.
#include "bench/kernels/verify.h"
#include "kernels/include/conv2d_relu_maxpool.h"
#include "kernels/include/conv2d_relu_maxpool_grad.h"
#include "tests/reference/conv2d_relu_maxpool.h"

namespace kiln::bench {
namespace {

constexpr double kTolerance = 5e-6;

// LeNet's, and the first layers of networks for MNIST pictures.
std::vector<Named<Conv2dShape>> fused_convs() {
  std::vector<Named<Conv2dShape>> all = lenet_convs();
  all.push_back({"mnist_1_10/n64", {.n = 64, .h = 28, .w = 28, .c = 1, .k = 10, .r = 5, .s = 5}});
  all.push_back({"mnist_10_20/n64", {.n = 64, .h = 12, .w = 12, .c = 10, .k = 20, .r = 5, .s = 5}});
  all.push_back({"mnist_32_64/n64", {.n = 64, .h = 26, .w = 26, .c = 32, .k = 64, .r = 3, .s = 3}});
  return all;
}

// All tensors of one problem, and both calls.
struct Fused {
  Conv2dShape shape;
  Pool2dShape pool;
  OwnedTensor w, bias, y, index, dx, dw, dbias;
  std::shared_ptr<OwnedTensor> x, dy;
  OwnedTensor scratch;

  Fused(Context& c, const Conv2dShape& s)
      : shape(s),
        pool{.n = s.n, .h = s.p(), .w = s.q(), .c = s.k},
        w(random_tensor(s.weights(), DType::f32, 1)),
        bias(random_tensor({s.k}, DType::f32, 2)),
        y(pool.output(), DType::f32),
        index(pool.output(), DType::u8),
        dx(s.input(), DType::f32),
        dw(s.weights(), DType::f32),
        dbias({s.k}, DType::f32),
        x(shared_random(s.input(), 3)),
        dy(shared_random(pool.output(), 4)),
        scratch({static_cast<std::int64_t>(
                    std::max(conv2d_relu_maxpool_scratch_bytes(c, s, pool, DType::f32),
                             conv2d_relu_maxpool_grad_scratch_bytes(c, s, pool, DType::f32)))},
                DType::u8) {}

  std::byte* scratch_bytes() { return static_cast<std::byte*>(scratch.view().raw()); }
  void forward(Context& c) {
    conv2d_relu_maxpool(c, {.shape = shape,
                            .pool = pool,
                            .x = *x,
                            .w = w,
                            .bias = bias,
                            .y = y,
                            .index = index,
                            .scratch = scratch_bytes()});
  }
  void backward(Context& c, GradWrite mode) {
    conv2d_relu_maxpool_grad(c, {.shape = shape,
                                 .pool = pool,
                                 .x = *x,
                                 .w = w,
                                 .y = y,
                                 .index = index,
                                 .dy = *dy,
                                 .dx = dx,
                                 .dw = dw,
                                 .dbias = dbias,
                                 .mode = mode,
                                 .scratch = scratch_bytes()});
  }
  // Bytes of what the forward pass reads, and of what it writes.
  double input_bytes() const { return bytes_of(*x) + bytes_of(w); }
  double output_bytes() const { return bytes_of(y) + bytes_of(index); }
};

Case forward_case(Context& c, const Conv2dShape& shape) {
  const auto f = std::make_shared<Fused>(c, shape);
  const auto wanted = [f] {
    const Values x = f->x->values(), w = f->w.values(), bias = f->bias.values();
    return reference::conv2d_relu_maxpool<double>(f->shape, f->pool, x, w, bias).y;
  };
  return {.work = {.flops = 2.0 * static_cast<double>(shape.multiply_count()),
                   .read_bytes = f->input_bytes(),
                   .write_bytes = f->output_bytes()},
          .run = [&c, f] { f->forward(c); },
          .fault = [f, wanted] { return fault_of(f->y, wanted(), kTolerance); }};
}

// With dx: twice the products.
Case grad_case(Context& c, const Conv2dShape& shape, GradWrite mode) {
  const auto f = std::make_shared<Fused>(c, shape);
  f->forward(c);
  // About half the windows are kept alive, at random places, as in training.
  for (std::int64_t i = 0; i < f->y.element_count(); ++i)
    if (f->dy->at(i) < 0) f->y.set(i, 0);
  const bool with_dx = mode != GradWrite::skip;
  const auto fault = [f, with_dx]() -> std::string {
    const Values x = f->x->values(), w = f->w.values(), y = f->y.values(), dy = f->dy->values();
    const auto wanted = reference::conv2d_relu_maxpool_grad<double>(
        f->shape, f->pool, x, w, y, f->index.host<const std::uint8_t>(), dy);
    const std::string wrong = fault_of(f->dw, wanted.dw, kTolerance);
    return wrong.empty() && with_dx ? fault_of(f->dx, wanted.dx, kTolerance) : wrong;
  };
  const double products = static_cast<double>(f->y.element_count() * shape.r * shape.s * shape.c);
  return {.work = {.flops = products * (with_dx ? 2 : 1),
                   .read_bytes = f->input_bytes() + f->output_bytes() + bytes_of(*f->dy),
                   .write_bytes = with_dx ? bytes_of(f->dx) : 0},
          .run = [&c, f, mode] { f->backward(c, mode); },
          .fault = fault};
}

const Registrar kFused([] {
  const auto with = [](Conv2dShape shape, std::int64_t n) {
    shape.n = n;
    return shape;
  };
  for (const auto& [name, shape] : fused_convs()) {
    add_case("conv2d_relu_maxpool", name, shape.n,
             [with, s = shape](Context& c, std::int64_t n) { return forward_case(c, with(s, n)); });
    add_case("conv2d_relu_maxpool_grad", name, shape.n,
             [with, s = shape](Context& c, std::int64_t n) {
               return grad_case(c, with(s, n), GradWrite::overwrite);
             });
    if (name.find("conv1") != std::string::npos)  // the first layer of LeNet
      add_case("conv2d_relu_maxpool_grad_no_dx", name, shape.n,
               [with, s = shape](Context& c, std::int64_t n) {
                 return grad_case(c, with(s, n), GradWrite::skip);
               });
  }
});

}  // namespace
}  // namespace kiln::bench
