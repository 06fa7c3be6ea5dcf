/* Compiled as C99: the interface of plug-ins needs nothing else. */
#include "engine/serve/plugin_api.h"

static const KilnHooks table = {KILN_PLUGIN_VERSION, sizeof(KilnHooks), 0, 0, 0, 0, 0, 0};
const KilnHooks* kiln_hooks(void) { return &table; }
