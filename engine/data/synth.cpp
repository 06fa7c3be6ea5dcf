#include "engine/data/synth.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/data/formats/common.h"

namespace kiln {
namespace {

constexpr int kSide = 32;
constexpr std::int64_t kImageBytes = kSide * kSide * 3;
// Counter blocks kept apart for one picture: 768 are its noise.
constexpr std::uint64_t kBlocksPerPicture = 1024;
constexpr float kPi = 3.14159265f;

constexpr std::array<std::string_view, 10> kClassNames = {
    "disc",  "ring",     "square",  "frame",    "triangle",
    "cross", "crescent", "stripes", "checkers", "dots"};
constexpr std::int32_t kFirstTexture = 7;

using Colour = std::array<float, 3>;

// What is random about a picture besides its noise. Lengths in pixels.
struct Scene {
  std::int32_t label = 0;
  float x = 0, y = 0;          // centre
  float cosine = 1, sine = 0;  // turn
  float radius = 0;            // of the shape, or of the window on a texture
  float period = 0;            // of a texture
  Colour front{}, back{}, line{};
  float shade_x = 0, shade_y = 0;  // brightness per pixel
  float line_cosine = 1, line_sine = 0, line_at = 0;
  bool has_line = false;
  float noise = 0;  // deviation
};

Colour draw_colour(RandomSequence& random) {
  return {random.next_uniform(25, 230), random.next_uniform(25, 230), random.next_uniform(25, 230)};
}

float contrast(const Colour& a, const Colour& b) {
  return std::max({std::abs(a[0] - b[0]), std::abs(a[1] - b[1]), std::abs(a[2] - b[2])});
}

float sum(const Colour& colour) { return colour[0] + colour[1] + colour[2]; }

Scene draw_scene(RandomSequence& random, std::int32_t label) {
  Scene scene{.label = label};
  const bool texture = label >= kFirstTexture;
  scene.x = random.next_uniform(12, 20);
  scene.y = random.next_uniform(12, 20);
  // Shapes lean by up to 25 degrees; a texture has no upright.
  const float turn = random.next_uniform(-1, 1) * (texture ? kPi : 0.44f);
  scene.cosine = std::cos(turn);
  scene.sine = std::sin(turn);
  scene.radius = texture ? random.next_uniform(10, 16) : random.next_uniform(6.5f, 11.5f);
  scene.period = random.next_uniform(5, 8.5f);
  scene.back = draw_colour(random);
  // At most a few rounds: half of all pairs of colours are far enough apart.
  do scene.front = draw_colour(random);
  while (contrast(scene.front, scene.back) < 70);
  // Mostly brighter than the ground, so that learning starts at once; not always, so that
  // brightness alone tells little.
  if ((sum(scene.front) > sum(scene.back)) != (random.next_unit() < 0.85f))
    std::swap(scene.front, scene.back);
  scene.line = draw_colour(random);
  scene.shade_x = random.next_uniform(-1.5f, 1.5f);
  scene.shade_y = random.next_uniform(-1.5f, 1.5f);
  const float line_turn = random.next_uniform(0, 2 * kPi);
  scene.line_cosine = std::cos(line_turn);
  scene.line_sine = std::sin(line_turn);
  scene.line_at = random.next_uniform(-14, 14);
  scene.has_line = random.next_unit() < 0.6f;
  scene.noise = random.next_uniform(6, 24);
  return scene;
}

float length(float u, float v) { return std::sqrt(u * u + v * v); }

// Distance to the nearest whole multiple of `period`.
float to_grid(float u, float period) {
  return std::abs(u - period * std::floor(u / period + 0.5f));
}

// Signed distance in pixels, negative inside; (u, v) are turned, with the centre at 0.
float shape_distance(std::int32_t label, float u, float v, float r) {
  const float box = std::max(std::abs(u), std::abs(v));
  switch (label) {
    case 0:
      return length(u, v) - r;
    case 1:
      return std::abs(length(u, v) - 0.78f * r) - 0.2f * r;
    case 2:
      return box - 0.8f * r;
    case 3:
      return std::abs(box - 0.7f * r) - 0.17f * r;
    case 4:  // three edges at a third of a turn
      return std::max({v, -0.5f * v + 0.8660254f * u, -0.5f * v - 0.8660254f * u}) - 0.55f * r;
    case 5:
      return std::min(std::max(std::abs(u) - r, std::abs(v) - 0.26f * r),
                      std::max(std::abs(u) - 0.26f * r, std::abs(v) - r));
    default:  // crescent: a disc without a shifted one
      return std::max(length(u, v) - r, 0.85f * r - length(u - 0.6f * r, v));
  }
}

float texture_distance(std::int32_t label, float u, float v, float period) {
  const float quarter = 0.25f * period;
  if (label == 7) return to_grid(u, period) - quarter;
  if (label == 8) {  // inside where both or neither lie in their stripe
    const float a = to_grid(u, 1.3f * period) - 1.3f * quarter;
    const float b = to_grid(v, 1.3f * period) - 1.3f * quarter;
    return (a < 0) == (b < 0) ? -std::min(std::abs(a), std::abs(b))
                              : std::min(std::abs(a), std::abs(b));
  }
  return length(to_grid(u, period), to_grid(v, period)) - 0.3f * period;
}

// The share of a pixel that the front colour covers; edges are one pixel soft.
float coverage(const Scene& scene, float x, float y) {
  const float dx = x - scene.x, dy = y - scene.y;
  const float u = scene.cosine * dx + scene.sine * dy, v = scene.cosine * dy - scene.sine * dx;
  float distance = 0;
  if (scene.label < kFirstTexture)
    distance = shape_distance(scene.label, u, v, scene.radius);
  else
    distance =
        std::max(texture_distance(scene.label, u, v, scene.period), length(dx, dy) - scene.radius);
  return std::clamp(0.5f - distance, 0.0f, 1.0f);
}

// Four bytes added up: nearly Gaussian, mean 510, deviation sqrt(4 (256^2 - 1) / 12) = 147.8.
float noise_of(std::uint32_t word) {
  const std::uint32_t sum = (word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24);
  return (static_cast<float>(sum) - 510.0f) * (1.0f / 147.8f);
}

void draw_pixels(const Scene& scene, RandomSequence& random, std::uint8_t* image) {
  for (int row = 0; row < kSide; ++row)
    for (int column = 0; column < kSide; ++column) {
      const float x = static_cast<float>(column) + 0.5f, y = static_cast<float>(row) + 0.5f;
      const float front = coverage(scene, x, y);
      const float shade = scene.shade_x * (x - 16) + scene.shade_y * (y - 16);
      const float across = scene.line_cosine * (x - 16) + scene.line_sine * (y - 16);
      const float line =
          scene.has_line ? std::clamp(1.2f - std::abs(across - scene.line_at), 0.0f, 1.0f) : 0.0f;
      for (std::size_t c = 0; c < 3; ++c) {
        float value = scene.back[c] + front * (scene.front[c] - scene.back[c]);
        value += line * (scene.line[c] - value);
        value += shade + scene.noise * noise_of(random.next_u32());
        *image++ = static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
      }
    }
}

void check_counts(const SynthOptions& options) {
  for (const std::int64_t count : {options.train_count, options.test_count})
    if (count < 10 || count > 10'000'000)
      throw Error(ErrorKind::usage, "count " + std::to_string(count), "is not possible",
                  "use 10 to 10000000");
}

}  // namespace

std::int32_t draw_synthetic_picture(std::uint64_t seed, Split split, std::int64_t index,
                                    std::uint8_t* image) {
  // Every ten samples in a row are the ten classes, each time in another order.
  const auto label = static_cast<std::int32_t>((7 * (index % 10) + 3 * (index / 10)) % 10);
  RandomSequence random(seed, RandomStream::synthesise, split == Split::train ? 0 : 1,
                        static_cast<std::uint64_t>(index) * kBlocksPerPicture);
  const Scene scene = draw_scene(random, label);
  draw_pixels(scene, random, image);
  return label;
}

Dataset draw_synthetic(const SynthOptions& options, Split split, ThreadPool& pool,
                       const Progress& progress) {
  check_counts(options);
  const std::int64_t count = split == Split::train ? options.train_count : options.test_count;
  DatasetInfo info{.name = "synthetic stand-in",
                   .origin = "synthetic stand-in drawn by kiln data synth",
                   .synthetic = true,
                   .height = kSide,
                   .width = kSide,
                   .channels = 3,
                   .class_names = formats::to_strings(kClassNames)};
  Buffer images(Device{}, static_cast<std::size_t>(count * kImageBytes));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  constexpr std::int64_t kPiece = 2'000;  // pictures between two words of progress
  for (std::int64_t first = 0; first < count; first += kPiece) {
    const std::int64_t piece = std::min(kPiece, count - first);
    pool.parallel_for(piece, [&](std::int64_t i) {
      auto* image = reinterpret_cast<std::uint8_t*>(images.data()) + (first + i) * kImageBytes;
      labels[static_cast<std::size_t>(first + i)] =
          draw_synthetic_picture(options.seed, split, first + i, image);
    });
    if (progress) progress(first + piece, count);
  }
  return Dataset(std::move(info), std::move(images), std::move(labels));
}

std::string synthetic_note(const SynthOptions& options) {
  return "These pictures are synthetic: drawn by kiln data synth with seed " +
         std::to_string(options.seed) +
         ", not photographs.\nThey stand in for CIFAR-10 where no real pictures are at hand. "
         "Accuracies on them say\nnothing about real pictures.\n";
}

}  // namespace kiln
