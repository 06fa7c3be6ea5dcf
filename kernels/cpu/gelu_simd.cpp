#include "kernels/cpu/gelu_simd.h"

#include "kernels/cpu/simd_math.h"

// With a = |x|, Phi(-a) = exp(-a^2/2) P(t) / (a + K), t = 1 - 2K / (a + K), K = 3/2, where P has
// degree 11 and relative error 9.2e-9 on 0 <= a <= 13.4 (minimax, coefficients rounded from the
// constant on, each time fitting the rest anew). P is nearly flat, from 0.75 to 0.47, so that the
// error of t hardly shows. Many roundings lie between x and its gelu; to keep their sum below two
// units in the last place, the steps after the polynomials are done with more than a float. The
// power of two of exp is multiplied in last: nothing before it leaves the normal numbers.
namespace kiln::cpu::KILN_ISA {
namespace {

constexpr float kPole = 1.5f;
constexpr float kFirst = 0.617341995f;            // P = kFirst + rest t
constexpr double kPeak = 0.39894228040143267794;  // phi(0) = 1 / sqrt(2 pi)

// Phi(-a) = (1 + s) 2^n (kFirst + rest t) / (a + K).
struct Tail {
  Vec a;  // |x|, at most 15, where the tail has become 0; NaN stays
  Vec n, s;
  Vec inverse, t, rest;  // inverse is 1 / (a + K), rounded
};

// e^(-a^2/2) = (1 + s) 2^n; exp_of explains n and r. The square has two parts: its rounding would
// be that of exp's argument, up to 112.
inline void set_bell(Tail& tail) {
  const Vec half = tail.a * -0.5f;
  const Vec x = half * tail.a;
  const Vec magic = broadcast(12582912.0f);
  tail.n = fmadd(x, broadcast(1.44269504088896341f), magic) - magic;
  const Vec x_low = fused(half, tail.a, -x);
  const Vec r =
      fmadd(tail.n, broadcast(-0.693359375f), x) + fmadd(tail.n, broadcast(2.12194440e-4f), x_low);
  Vec q = broadcast(1.38209993e-3f);  // (e^r - 1 - r) / r^2, minimax, relative to e^r 3.1e-9
  q = fmadd(q, r, broadcast(8.36867094e-3f));
  q = fmadd(q, r, broadcast(4.16682623e-2f));
  q = fmadd(q, r, broadcast(1.66665211e-1f));
  q = fmadd(q, r, broadcast(4.9999994e-1f));
  tail.s = fmadd(q * r, r, r);
}

inline void set_quotient(Tail& tail) {
  constexpr float kP[] = {1.59856121e-4f,  4.71273175e-4f,  2.34330379e-4f, -1.05054164e-3f,
                          -2.69846944e-3f, -2.42936006e-3f, 3.98381753e-3f, 1.76392328e-2f,
                          1.78972445e-2f,  -5.74953444e-2f, -1.95099518e-1f};
  tail.inverse = 1.0f / (tail.a + kPole);
  tail.t = fmadd(tail.inverse, broadcast(-2 * kPole), broadcast(1.0f));
  // The even and the odd powers apart: two chains of half the length.
  const Vec t2 = tail.t * tail.t;
  Vec even = broadcast(kP[0]), odd = broadcast(kP[1]);
  for (int i = 2; i < 10; i += 2) {
    even = fmadd(even, t2, broadcast(kP[i]));
    odd = fmadd(odd, t2, broadcast(kP[i + 1]));
  }
  tail.rest = fmadd(odd, tail.t, fmadd(even, t2, broadcast(kP[10])));
}

// v 2^n for n from -163 to 0, rounded once.
inline Vec times_power(Vec v, Vec n) {
#if defined(KILN_ISA_avx512)
  return _mm512_scalef_ps(v, n);
#else
  const IntVec exponent = __builtin_convertvector(n, IntVec) + (127 + 40);
  return v * reinterpret_cast<Vec>(exponent << 23) * 0x1p-40f;
#endif
}

inline Tail tail_of(Vec x) {
  const Vec a = reinterpret_cast<Vec>(reinterpret_cast<IntVec>(x) & 0x7fffffff);
  Tail tail{};
  tail.a = a > broadcast(15.0f) ? broadcast(15.0f) : a;
  set_bell(tail);
  set_quotient(tail);
  return tail;
}

#if defined(KILN_ISA_avx512) || defined(KILN_ISA_avx2)

struct TwoFloats {
  Vec high, low;
};

inline TwoFloats polynomial_of(const Tail& tail) {
  const Vec p = fmadd(tail.rest, tail.t, broadcast(kFirst));
  return {p, fmadd(tail.rest, tail.t, kFirst - p)};
}

inline TwoFloats bell_of(const Tail& tail) {
  const Vec high = tail.s + 1.0f;
  return {high, tail.s - (high - 1.0f)};
}

// numerator / (a + K): the quotient, and what is left of the numerator after it.
inline TwoFloats divide(const Tail& tail, const TwoFloats& numerator) {
  const Vec d = tail.a + kPole;
  const Vec d_low = (kPole - d) + tail.a;  // exact
  const Vec high = numerator.high * tail.inverse;
  const Vec left = fmadd(-high, d, numerator.high) + numerator.low;
  return {high, fmadd(-high, d_low, left) * tail.inverse};
}

// a Phi(-a) / 2^n
inline Vec weighted_tail(const Tail& tail) {
  const TwoFloats p = polynomial_of(tail), bell = bell_of(tail);
  const Vec product = p.high * bell.high;
  Vec low = fmadd(p.high, bell.high, -product);
  low = fmadd(p.high, bell.low, low);
  low = fmadd(p.low, bell.high, low);
  const TwoFloats phi = divide(tail, {product, low});
  return fmadd(tail.a, phi.high, tail.a * phi.low);
}

// (Phi(-a) - a phi(a)) / 2^n = (1 + s) (P / (a + K) - a phi(0))
inline Vec tail_slope(const Tail& tail) {
  constexpr auto kHigh = static_cast<float>(kPeak);
  constexpr auto kLow = static_cast<float>(kPeak - static_cast<double>(kHigh));
  const TwoFloats mills = divide(tail, polynomial_of(tail)), bell = bell_of(tail);
  const Vec product = tail.a * kHigh;
  const Vec high = mills.high - product;
  const Vec back = high - mills.high;  // Knuth's sum: what the subtraction rounds off
  Vec low = (mills.high - (high - back)) - (product + back);
  low += mills.low - fmadd(tail.a, broadcast(kHigh), -product);
  low = fmadd(tail.a, broadcast(-kLow), low);
  low = fmadd(high, bell.low, low * bell.high);
  return fmadd(high, bell.high, low);
}

#else  // without FMA, double is the shorter way to the same digits

struct Wide {
  double __attribute__((vector_size(kLanes * 8))) v;
  explicit Wide(const Vec& from) : v(__builtin_convertvector(from, decltype(v))) {}
};

// P / (a + K); one step of Newton's from the rounded inverse is exact enough.
inline void divide(const Tail& tail, const Wide& a, Wide& mills) {
  const Wide guess(tail.inverse);
  mills.v = (mills.v * Wide(tail.t).v + static_cast<double>(kFirst)) * guess.v *
            (2.0 - (a.v + static_cast<double>(kPole)) * guess.v);
}

inline Vec weighted_tail(const Tail& tail) {
  const Wide a(tail.a), s(tail.s);
  Wide mills(tail.rest);
  divide(tail, a, mills);
  return __builtin_convertvector(a.v * (1.0 + s.v) * mills.v, Vec);
}

inline Vec tail_slope(const Tail& tail) {
  const Wide a(tail.a), s(tail.s);
  Wide mills(tail.rest);
  divide(tail, a, mills);
  return __builtin_convertvector((1.0 + s.v) * (mills.v - a.v * kPeak), Vec);
}

#endif

}  // namespace

// With z = a Phi(-a), x Phi(x) is -z for x < 0 and x - z above. Of -infinity it is NaN, as in
// double: -infinity * 0. `flatten`: GCC leaves the body a function of its own otherwise.
template <class T>
[[gnu::flatten]] void gelu(const T* x, T* y, std::int64_t count) {
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    const Vec value = lanes.load(x + i);
    const Tail tail = tail_of(value);
    const Vec z = times_power(weighted_tail(tail), tail.n);
    lanes.store(y + i, (value < Vec{} ? value * Vec{} : value) - z);
  });
}

// With g = Phi(-a) - a phi(a), the slope is g for x < 0 and 1 - g above.
template <class T>
[[gnu::flatten]] void gelu_grad(const T* x, const T* dy, T* dx, std::int64_t count, bool add) {
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    const Vec value = lanes.load(x + i);
    const Tail tail = tail_of(value);
    const Vec g = times_power(tail_slope(tail), tail.n);
    const Vec gradient = lanes.load(dy + i) * (value < Vec{} ? g : 1.0f - g);
    lanes.store(dx + i, add ? lanes.load(dx + i) + gradient : gradient);
  });
}

template void gelu(const float*, float*, std::int64_t);
template void gelu(const BFloat16*, BFloat16*, std::int64_t);
template void gelu_grad(const float*, const float*, float*, std::int64_t, bool);
template void gelu_grad(const BFloat16*, const BFloat16*, BFloat16*, std::int64_t, bool);

}  // namespace kiln::cpu::KILN_ISA
