#include "kernels/cpu/optimizer_simd.h"

#include "kernels/cpu/simd_map.h"

// Compiled without contraction: a multiply-add is fused where it says `fused` and nowhere else, so
// that every level gives the same bits.
namespace kiln::cpu::KILN_ISA {
namespace {

// start + weight (end - start), from the nearer end as torch.lerp does.
inline Vec lerp(Vec start, Vec end, float weight) {
  return weight < 0.5f ? fused(broadcast(weight), end - start, start)
                       : fused(start - end, broadcast(1 - weight), end);
}

}  // namespace

// Floats ahead that w's memory is asked for, to be written. On several threads every line of w is
// in every core's cache when the step begins: reading it first and then claiming it for the store
// would be two journeys to the other cores.
constexpr std::int64_t kAhead = 512;

template <bool kHasRest>
void sgd_parts(const SgdNumbers& n, float* w, const float* grad, const float* rest, float* buffer,
               std::int64_t count) {
  const Vec minus_lr = broadcast(n.minus_lr), momentum = broadcast(n.momentum);
  const Vec undamped = broadcast(n.undamped), decay = broadcast(n.decay);
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    prefetch_to_write(w + i + kAhead);
    const Vec value = lanes.load(w + i);
    Vec g = lanes.load(grad + i);
    if constexpr (kHasRest) g += lanes.load(rest + i);
    if (n.use_decay) g = fused(decay, value, g);
    if (n.use_momentum) {
      const Vec b =
          n.first_step ? g : normal_or_zero(fused(undamped, g, momentum * lanes.load(buffer + i)));
      lanes.store(buffer + i, b);
      g = n.nesterov ? fused(momentum, b, g) : b;
    }
    lanes.store(w + i, fused(minus_lr, g, value));
  });
}

void sgd_f32(const SgdNumbers& n, float* w, const float* grad, const float* rest, float* buffer,
             std::int64_t count) {
  rest == nullptr ? sgd_parts<false>(n, w, grad, rest, buffer, count)
                  : sgd_parts<true>(n, w, grad, rest, buffer, count);
}

void adadelta_f32(const AdadeltaNumbers& n, float* w, const float* grad, float* square_avg,
                  float* acc_delta, std::int64_t count) {
  const Vec rho = broadcast(n.rho), rest = broadcast(n.rest), eps = broadcast(n.eps);
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    const Vec value = lanes.load(w + i);
    Vec g = lanes.load(grad + i);
    if (n.use_decay) g = fused(broadcast(n.decay), value, g);
    const Vec square = normal_or_zero(fused(rest * g, g, lanes.load(square_avg + i) * rho));
    lanes.store(square_avg + i, square);
    const Vec acc = lanes.load(acc_delta + i);
    const Vec delta = square_root(acc + eps) / square_root(square + eps) * g;
    lanes.store(acc_delta + i, normal_or_zero(fused(rest * delta, delta, acc * rho)));
    lanes.store(w + i, fused(broadcast(n.minus_lr), delta, value));
  });
}

void adam_f32(const AdamNumbers& n, float* w, const float* grad, float* exp_avg, float* exp_avg_sq,
              std::int64_t count) {
  const Vec beta2 = broadcast(n.beta2), rest2 = broadcast(n.rest2);
  const Vec root = broadcast(n.root), eps = broadcast(n.eps);
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    Vec value = lanes.load(w + i);
    Vec g = lanes.load(grad + i);
    if (n.use_decay) {
      if (n.decoupled)
        value *= broadcast(n.shrink);
      else
        g = fused(broadcast(n.decay), value, g);
    }
    const Vec first = normal_or_zero(lerp(lanes.load(exp_avg + i), g, n.rest1));
    const Vec second = fused(rest2 * g, g, lanes.load(exp_avg_sq + i) * beta2);
    lanes.store(exp_avg + i, first);
    lanes.store(exp_avg_sq + i, second);
    lanes.store(w + i,
                value + broadcast(n.minus_step) * first / (square_root(second) / root + eps));
  });
}

}  // namespace kiln::cpu::KILN_ISA
