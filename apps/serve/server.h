// The server's life: listen, load, answer, drain.
//
//   main thread    signals; everything is built and taken down here
//   loop           sockets, parsing, cheap decoding, lone pictures of small models
//   decoders       pictures and large bodies
//   executors      batches; --threads for each model, and a clock for its deadlines
//   keeper         loads models, at the start and when they change
#pragma once

#include "apps/serve/settings.h"

namespace kiln {

// Serves until a signal ends it; returns the exit code. Throws Error.
int run_server(const ServeSettings& settings);

}  // namespace kiln
