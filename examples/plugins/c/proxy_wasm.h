/* The part of Proxy-Wasm 0.2.1 that a small HTTP plugin in C needs: there is no C SDK, and none is necessary.
 *
 * A plugin is a reactor: it exports callbacks (proxy_on_*), the host calls them, and inside them it makes
 * hostcalls (proxy_*). What a hostcall hands out lives in memory that the host got from this plugin's malloc;
 * whoever receives it frees it.
 *
 *     clang --target=wasm32-wasi -mexec-model=reactor -O2 -I. my-plugin/plugin.c -o my-plugin.wasm
 */
#ifndef PROXY_WASM_H
#define PROXY_WASM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Makes a function visible to the host, or a hostcall visible to this plugin. */
#define EXPORT(name) __attribute__((export_name(#name)))
#define HOSTCALL(name) __attribute__((import_module("env"), import_name(#name))) extern

/* What a hostcall answers. */
enum status { STATUS_OK = 0, STATUS_NOT_FOUND = 1, STATUS_BAD_ARGUMENT = 2 };

/* What a callback about headers or a body answers. */
enum action { ACTION_CONTINUE = 0, ACTION_PAUSE = 1 };

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_CRITICAL };

enum header_map { REQUEST_HEADERS = 0, REQUEST_TRAILERS = 1, RESPONSE_HEADERS = 2, RESPONSE_TRAILERS = 3 };

enum buffer { REQUEST_BODY = 0, RESPONSE_BODY = 1, VM_CONFIGURATION = 6, PLUGIN_CONFIGURATION = 7 };

HOSTCALL(proxy_log) uint32_t proxy_log(uint32_t level, const char *message, size_t size);

HOSTCALL(proxy_get_buffer_bytes)
uint32_t proxy_get_buffer_bytes(uint32_t buffer, size_t start, size_t length, char **value, size_t *value_size);

HOSTCALL(proxy_get_header_map_value)
uint32_t proxy_get_header_map_value(uint32_t map, const char *name, size_t name_size, char **value,
                                    size_t *value_size);

HOSTCALL(proxy_add_header_map_value)
uint32_t proxy_add_header_map_value(uint32_t map, const char *name, size_t name_size, const char *value,
                                    size_t value_size);

/* The headers are encoded pairs (none: a null pointer). A gRPC status of -1 leaves it to the host. */
HOSTCALL(proxy_send_local_response)
uint32_t proxy_send_local_response(uint32_t code, const char *details, size_t details_size, const char *body,
                                   size_t body_size, const char *headers, size_t headers_size, int32_t grpc_status);

/* Which version of the interface this plugin speaks: the host looks for the name and never calls it. */
EXPORT(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

/* Where the host puts what hostcalls hand out. */
EXPORT(proxy_on_memory_allocate) void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

static inline void log_text(enum log_level level, const char *text) { proxy_log(level, text, strlen(text)); }

#endif
