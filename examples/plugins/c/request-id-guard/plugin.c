/* Turns away requests that nobody could trace later: those without a request id.
 *
 * The configuration is the name of the header to look for; without one it is x-request-id. A request that has no
 * such header, or an empty one, is answered here with 403 and never reaches the upstream.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proxy_wasm.h"

static const char default_header[] = "x-request-id";

/* The header of each root context. A host may give one VM several configurations, each with its own root context. */
struct root {
    uint32_t id;
    char *header;
    size_t header_size;
    struct root *next;
};

/* Which root context a stream belongs to; one entry for each stream that is under way. */
struct stream {
    uint32_t id;
    const struct root *root;
    struct stream *next;
};

static struct root *roots;
static struct stream *streams;

static struct root *find_root(uint32_t id) {
    struct root *root = roots;
    while (root != NULL && root->id != id) root = root->next;
    return root;
}

EXPORT(proxy_on_context_create) void proxy_on_context_create(uint32_t id, uint32_t parent) {
    if (parent == 0) {
        struct root *root = calloc(1, sizeof *root);
        if (root == NULL) abort();
        *root = (struct root){.id = id, .header = strdup(default_header), .next = roots};
        if (root->header == NULL) abort();
        root->header_size = strlen(root->header);
        roots = root;
    } else {
        struct stream *stream = calloc(1, sizeof *stream);
        if (stream == NULL) abort();
        *stream = (struct stream){.id = id, .root = find_root(parent), .next = streams};
        streams = stream;
    }
}

EXPORT(proxy_on_configure) uint32_t proxy_on_configure(uint32_t id, uint32_t size) {
    struct root *root = find_root(id);
    if (root == NULL) return false;
    if (size > 0) {
        free(root->header);
        root->header = NULL;
        if (proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, &root->header, &root->header_size) != STATUS_OK) {
            return false;
        }
    }

    char line[128];
    snprintf(line, sizeof line, "guarding requests without %.*s", (int)root->header_size, root->header);
    log_text(LOG_INFO, line);
    return true;
}

EXPORT(proxy_on_request_headers)
uint32_t proxy_on_request_headers(uint32_t id, uint32_t count, uint32_t end_of_stream) {
    (void)count;
    (void)end_of_stream;
    const struct stream *stream = streams;
    while (stream != NULL && stream->id != id) stream = stream->next;
    if (stream == NULL || stream->root == NULL) return ACTION_CONTINUE;

    const char *header = stream->root->header;
    size_t header_size = stream->root->header_size;
    char *value = NULL;
    size_t value_size = 0;
    proxy_get_header_map_value(REQUEST_HEADERS, header, header_size, &value, &value_size);
    free(value);
    if (value_size > 0) return ACTION_CONTINUE;

    char body[160];
    int body_size = snprintf(body, sizeof body, "a request needs the header %.*s\n", (int)header_size, header);
    if (body_size >= (int)sizeof body) body_size = sizeof body - 1;
    static const char details[] = "request_id_missing";
    proxy_send_local_response(403, details, strlen(details), body, (size_t)body_size, NULL, 0, -1);
    return ACTION_PAUSE;
}

EXPORT(proxy_on_delete) void proxy_on_delete(uint32_t id) {
    for (struct stream **link = &streams; *link != NULL; link = &(*link)->next) {
        if ((*link)->id != id) continue;
        struct stream *gone = *link;
        *link = gone->next;
        free(gone);
        return;
    }
    for (struct root **link = &roots; *link != NULL; link = &(*link)->next) {
        if ((*link)->id != id) continue;
        struct root *gone = *link;
        *link = gone->next;
        free(gone->header);
        free(gone);
        return;
    }
}
