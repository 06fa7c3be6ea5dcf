// The least that a server does with a model; what the linker takes in for it is what serve_is_lean
// looks at.
#include <cstdio>
#include <vector>

#include "engine/core/error.h"
#include "engine/infer/session.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    kiln::Log log;
    kiln::infer::Session session(kiln::infer::Model::load(argv[1]), {}, log);
    const std::vector<std::uint8_t> picture(static_cast<std::size_t>(session.picture_size()));
    session.set_bytes(0, picture);
    session.run(1);
    for (const float value : session.outputs(0, 1)) std::printf("%g\n", static_cast<double>(value));
  } catch (const kiln::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_code();
  }
  return 0;
}
