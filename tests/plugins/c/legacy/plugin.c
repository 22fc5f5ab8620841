/* A plugin of ABI 0.1.0, as old SDKs still make them.
 *
 * What differs from today's: header callbacks take two parameters, the configuration has a hostcall of its own, and
 * streams are continued by proxy_continue_request and proxy_continue_response. A header that is not there is answered
 * with OK and an empty value. The plugin logs each of these, marks both directions, and pauses and resumes by the old
 * hostcalls when a request asks for it with x-do.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define HOSTCALL(name) __attribute__((import_module("env"), import_name(#name))) extern

enum { INFO = 2, REQUEST_HEADERS = 0, RESPONSE_HEADERS = 2, CONTINUE = 0, PAUSE = 1, YES = 1 };

HOSTCALL(proxy_log) uint32_t proxy_log(uint32_t level, const char *message, size_t size);
HOSTCALL(proxy_get_configuration) uint32_t proxy_get_configuration(char **value, size_t *size);
HOSTCALL(proxy_continue_request) uint32_t proxy_continue_request(void);
HOSTCALL(proxy_continue_response) uint32_t proxy_continue_response(void);
HOSTCALL(proxy_clear_route_cache) uint32_t proxy_clear_route_cache(void);
HOSTCALL(proxy_get_header_map_value)
uint32_t proxy_get_header_map_value(uint32_t map, const char *name, size_t name_size, char **value, size_t *size);
HOSTCALL(proxy_replace_header_map_value)
uint32_t proxy_replace_header_map_value(uint32_t map, const char *name, size_t name_size, const char *value,
                                        size_t size);

EXPORT(proxy_abi_version_0_1_0) void proxy_abi_version_0_1_0(void) {}
EXPORT(malloc) void *exported_malloc(size_t size) { return malloc(size); }

/* Logs one line: what, a number, and some bytes. */
static void note(const char *what, uint32_t number, const char *text, size_t size) {
    char line[256];
    int length = snprintf(line, sizeof line, "%s %u \"%.*s\"", what, number, (int)size, size > 0 ? text : "");
    if (length >= (int)sizeof line) length = sizeof line - 1;
    proxy_log(INFO, line, (size_t)length);
}

static void note_configuration(const char *where) {
    char *value = NULL;
    size_t size = 0;
    uint32_t status = proxy_get_configuration(&value, &size);
    note(where, status, value, size);
    free(value);
}

static uint32_t header(uint32_t map, const char *name, char **value, size_t *size) {
    *value = NULL;
    *size = 0;
    return proxy_get_header_map_value(map, name, strlen(name), value, size);
}

static void mark(uint32_t map, const char *name) { proxy_replace_header_map_value(map, name, strlen(name), "0.1.0", 5); }

/* Whether the request asks for something with x-do. */
static int wants(const char *what) {
    char *value;
    size_t size;
    header(REQUEST_HEADERS, "x-do", &value, &size);
    int wanted = size == strlen(what) && memcmp(value, what, size) == 0;
    free(value);
    return wanted;
}

/* A function of its own, for its name in the host's backtrace. */
static __attribute__((noinline)) void fall_over(void) { __builtin_trap(); }

EXPORT(proxy_on_context_create) void proxy_on_context_create(uint32_t context, uint32_t parent) {
    (void)context;
    note(parent == 0 ? "create root" : "create stream", 0, NULL, 0);
}

EXPORT(proxy_on_vm_start) uint32_t proxy_on_vm_start(uint32_t context, uint32_t size) {
    (void)context;
    (void)size;
    note_configuration("vm configuration");
    return YES;
}

EXPORT(proxy_on_configure) uint32_t proxy_on_configure(uint32_t context, uint32_t size) {
    (void)context;
    (void)size;
    note_configuration("plugin configuration");
    return YES;
}

EXPORT(proxy_on_request_headers) uint32_t proxy_on_request_headers(uint32_t context, uint32_t count) {
    (void)context;
    (void)count;
    char *value;
    size_t size;
    uint32_t status = header(REQUEST_HEADERS, ":path", &value, &size);
    note("request path", status, value, size);
    free(value);
    status = header(REQUEST_HEADERS, "x-absent", &value, &size);
    note("absent header", status, value, size);
    free(value);
    note_configuration("configuration in a stream");
    mark(REQUEST_HEADERS, "x-legacy");
    note("clear route cache", proxy_clear_route_cache(), NULL, 0);
    if (wants("fall-over")) fall_over();
    if (wants("resume")) {
        note("continue request", proxy_continue_request(), NULL, 0);
        return PAUSE;
    }
    return wants("pause") ? PAUSE : CONTINUE;
}

EXPORT(proxy_on_response_headers) uint32_t proxy_on_response_headers(uint32_t context, uint32_t count) {
    (void)context;
    (void)count;
    mark(RESPONSE_HEADERS, "x-legacy");
    if (wants("resume-response")) {
        note("continue response", proxy_continue_response(), NULL, 0);
        return PAUSE;
    }
    return CONTINUE;
}

EXPORT(proxy_on_done) uint32_t proxy_on_done(uint32_t context) {
    (void)context;
    note("done", 0, NULL, 0);
    return YES;
}

EXPORT(proxy_on_delete) void proxy_on_delete(uint32_t context) {
    (void)context;
    note("delete", 0, NULL, 0);
}
