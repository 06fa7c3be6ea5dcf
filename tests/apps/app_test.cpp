#include "tests/apps/app_test.h"

#include "engine/core/rng.h"

namespace kiln::test {

std::vector<std::uint8_t> random_bytes(std::size_t count, std::uint32_t seed) {
  RandomSequence random(seed, RandomStream::synthesise, 0);
  std::vector<std::uint8_t> bytes(count);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.next_below(256));
  return bytes;
}

std::string AppTest::save_random_model(const ModelSpec& spec, std::uint64_t seed) const {
  ParameterStore parameters(spec, DType::f32, Device{});
  parameters.initialise(seed);
  ModelCard card{.name = spec.name,
                 .spec = to_json(spec),
                 .input_height = spec.height,
                 .input_width = spec.width,
                 .input_channels = spec.channels,
                 .data_name = "nothing"};
  const auto names = cifar10_class_names();
  for (std::int64_t k = 0; k < spec.class_count; ++k)
    card.classes.emplace_back(spec.class_count == 10 ? names[static_cast<std::size_t>(k)]
                                                     : "class " + std::to_string(k));
  set_normalisation(card, Normalisation{});
  std::string directory = path("model-" + spec.name);
  save_model(directory, card, parameters);
  return directory;
}

std::string AppTest::save_picture(const std::string& name, int height, int width, int channels,
                                  std::uint32_t seed) const {
  const auto count = static_cast<std::size_t>(height * width * channels);
  make_directories((folder() / name).parent_path());
  write_png(folder() / name, {.height = height,
                              .width = width,
                              .channel_count = channels,
                              .pixels = random_bytes(count, seed)});
  return path(name);
}

std::string AppTest::save_cifar(int count) const {
  constexpr std::size_t kPlane = 32 * 32;
  std::string names;
  for (const std::string_view name : cifar10_class_names()) names += std::string(name) + "\n";
  write("cifar/batches.meta.txt", names);
  for (int file = 0; file < 6; ++file) {
    std::string bytes;
    for (int i = 0; i < count; ++i) {
      bytes += static_cast<char>((i * 7 + file) % 10);  // label, then three planes
      for (const std::uint8_t byte :
           random_bytes(3 * kPlane, static_cast<std::uint32_t>(1000 * file + i)))
        bytes += static_cast<char>(byte);
    }
    write(
        file < 5 ? "cifar/data_batch_" + std::to_string(file + 1) + ".bin" : "cifar/test_batch.bin",
        bytes);
  }
  return path("cifar");
}

testing::AssertionResult refused(const ProcessResult& result, int code,
                                 const std::vector<std::string>& parts) {
  const auto failure = [&] {
    return testing::AssertionFailure()
           << "exit code " << result.code << (result.timed_out ? " (timed out)" : "")
           << "\nstdout: " << result.out << "\nstderr: " << result.err << "\n";
  };
  if (result.code != code) return failure() << "exit code " << code << " was expected";
  if (!result.out.empty()) return failure() << "nothing was expected on stdout";
  std::string complaint;
  for (const std::string& line : lines_of(result.err)) {
    if (!line.starts_with("kiln")) continue;  // the log
    if (!complaint.empty()) return failure() << "one line was expected";
    complaint = line;
  }
  for (const std::string& part : parts)
    if (complaint.find(part) == std::string::npos)
      return failure() << "\"" << part << "\" was expected in the line";
  return testing::AssertionSuccess();
}

}  // namespace kiln::test
