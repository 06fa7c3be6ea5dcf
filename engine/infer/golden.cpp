#include "engine/infer/golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "models/safetensors.h"

namespace kiln::infer {
namespace {

constexpr std::int64_t kMostPictures = 64;

// Bytes of a file may lie at any address.
template <class T>
std::vector<T> copy_of(const SafetensorsEntry& entry) {
  std::vector<T> values(entry.bytes.size() / sizeof(T));
  std::memcpy(values.data(), entry.bytes.data(), entry.bytes.size());
  return values;
}

Shape picture_shape(const ModelSpec& spec, std::int64_t count) {
  return {count, spec.height, spec.width, spec.channels};
}

}  // namespace

Golden make_golden(Session& session, std::span<const std::uint8_t> pictures) {
  const auto size = static_cast<std::size_t>(session.picture_size());
  KILN_CHECK(!pictures.empty() && pictures.size() % size == 0);
  Golden golden{.pictures = {pictures.begin(), pictures.end()}, .outputs = {}};
  for (std::size_t at = 0; at < pictures.size(); at += size) {
    session.set_bytes(0, pictures.subspan(at, size));
    session.run(1);
    const std::span<const float> row = session.outputs(0, 1);
    golden.outputs.insert(golden.outputs.end(), row.begin(), row.end());
  }
  return golden;
}

void write_golden(const Path& path, const ModelSpec& spec, const Golden& golden) {
  const auto count = static_cast<std::int64_t>(golden.outputs.size()) / spec.class_count;
  const SafetensorsEntry entries[] = {
      {"outputs", DType::f32, {count, spec.class_count}, std::as_bytes(std::span(golden.outputs))},
      {"pictures", DType::u8, picture_shape(spec, count),
       std::as_bytes(std::span(golden.pictures))}};
  write_safetensors(path, entries);
}

Golden read_golden(const Path& path, const ModelSpec& spec) {
  const SafetensorsFile file(path);
  const SafetensorsEntry* outputs = file.find("outputs");
  const std::int64_t count =
      outputs != nullptr && outputs->shape.rank() == 2 ? outputs->shape[0] : 0;
  if (count < 1 || count > kMostPictures)
    throw Error(ErrorKind::input, path.string(), "has no \"outputs\" of 1 to 64 pictures");
  return {
      .pictures = copy_of<std::uint8_t>(file.at("pictures", DType::u8, picture_shape(spec, count))),
      .outputs = copy_of<float>(file.at("outputs", DType::f32, Shape{count, spec.class_count}))};
}

void check_golden(Session& session, const Golden& golden, const Path& path) {
  const std::vector<float> got = make_golden(session, golden.pictures).outputs;
  KILN_CHECK(got.size() == golden.outputs.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double want = static_cast<double>(golden.outputs[i]);
    // A NaN is not near anything.
    if (std::abs(static_cast<double>(got[i]) - want) <= 1e-3 + 1e-3 * std::abs(want)) continue;
    const auto columns = static_cast<std::size_t>(session.output_size());
    throw Error(ErrorKind::input, path.string(),
                "is not reproduced: output " + std::to_string(i % columns) + " of picture " +
                    std::to_string(i / columns) + " is " + std::to_string(got[i]) + ", was " +
                    std::to_string(golden.outputs[i]) + " when the model was trained",
                "train or copy the model again");
  }
}

}  // namespace kiln::infer
