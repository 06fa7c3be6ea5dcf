// A plug-in whose model is loaded when somebody opens the FIFO `gate` of the model's folder for
// writing, and not before: it holds a server where it loads.
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include "engine/serve/plugin_api.h"

namespace {

int32_t wait_at_gate(KilnModel* model, KilnError* error) {
  const std::string gate = std::string(model->directory) + "/gate";
  const int fd = ::open(gate.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    std::snprintf(error->text, sizeof error->text, "%s cannot be opened", gate.c_str());
    return 1;
  }
  ::close(fd);
  return 0;
}

}  // namespace

const KilnHooks* kiln_hooks(void) {
  static const KilnHooks table = {.version = KILN_PLUGIN_VERSION,
                                  .size = sizeof(KilnHooks),
                                  .model_fn = wait_at_gate,
                                  .model_free = nullptr,
                                  .input_fn = nullptr,
                                  .predict_fn = nullptr,
                                  .output_fn = nullptr,
                                  .transform_fn = nullptr};
  return &table;
}
