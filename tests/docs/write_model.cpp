// write_model NETWORK DIR: a model directory with drawn weights, whole as kiln train leaves one.
#include <cstdio>

#include "engine/core/error.h"
#include "engine/infer/golden.h"
#include "tests/infer/model_folder.h"

namespace kiln {
namespace {

void write(const std::string& network, const Path& folder) {
  const ModelSpec spec = test::network_of(network);
  test::write_model(folder, spec, 1);
  Log log(stderr, LogLevel::quiet);
  infer::Session session(infer::Model::load(folder), {.max_batch = 1}, log);
  const std::vector<std::uint8_t> picture(static_cast<std::size_t>(session.picture_size()), 99);
  write_golden(folder / kGoldenFile, spec, infer::make_golden(session, picture));
  ModelCard card = test::card_of(spec);
  card.files = {digest_file(folder, kWeightsFile), digest_file(folder, kGoldenFile)};
  write_model_card(folder / kCardFile, card);
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: write_model NETWORK DIR\n");
    return 2;
  }
  try {
    kiln::write(argv[1], argv[2]);
  } catch (const kiln::Error& error) {
    std::fprintf(stderr, "write_model: %s\n", error.what());
    return error.exit_code();
  }
  return 0;
}
