// Plug-ins that a server must not take; KILN_WRONG says which.
#include "engine/serve/plugin_api.h"

#if KILN_WRONG == 1  // another version
const KilnHooks* kiln_hooks(void) {
  static const KilnHooks table = {.version = 2,
                                  .size = 16,
                                  .model_fn = nullptr,
                                  .model_free = nullptr,
                                  .input_fn = nullptr,
                                  .predict_fn = nullptr,
                                  .output_fn = nullptr,
                                  .transform_fn = nullptr};
  return &table;
}
#elif KILN_WRONG == 2  // no table
const KilnHooks* kiln_hooks(void) { return nullptr; }
#elif KILN_WRONG == 3  // no entry
extern "C" int another_function(void);
extern "C" int another_function(void) { return 0; }
#else
const KilnHooks* kiln_hooks(void) { throw 7; }
#endif
