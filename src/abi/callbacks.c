/*
 * The table of Envoy's callbacks. The references are weak (see the header), so the loader writes the address of
 * each callback that this Envoy has and leaves null for the others. No code runs for that, and after the loader is
 * done the table is read-only memory.
 */
#include "callbacks.h"

#define GRAFT_CALLBACK_ADDRESS(name) .name = envoy_dynamic_module_callback_##name,

const struct graft_callback_table graft_callbacks = {GRAFT_CALLBACKS(GRAFT_CALLBACK_ADDRESS)};
