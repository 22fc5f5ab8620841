/*
 * The native dynamic module that Graft is compared with: the workloads of the benchmark, written straight against
 * Envoy's ABI. The filter's configuration is a StringValue that says which; with `header NAME VALUE` for the one that
 * adds a header.
 *
 * It does what benches/envoy/plugins/rust/bench-workloads does, as somebody would write it who knows the ABI: a small
 * object for each stream, no needless copy, and nothing left out. The benchmark builds it with the system's C compiler.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envoy_dynamic_module.h"

/* Graft itself asks for calls in parts, so its header lacks the call in one piece. */
typedef envoy_dynamic_module_type_http_callout_init_result envoy_dynamic_module_callback_http_filter_http_callout_fn(
    envoy_dynamic_module_type_http_filter_envoy_ptr filter, uint64_t* callout_id,
    envoy_dynamic_module_type_module_buffer cluster, envoy_dynamic_module_type_module_http_header* headers,
    size_t headers_length, envoy_dynamic_module_type_module_buffer body, uint64_t timeout_milliseconds);

/* Callbacks: strong references, since the benchmark runs one Envoy that has them all. */
#define CALLBACK(name) extern envoy_dynamic_module_callback_##name##_fn envoy_dynamic_module_callback_##name
CALLBACK(http_filter_config_define_counter);
CALLBACK(http_filter_increment_counter);
CALLBACK(http_get_headers_size);
CALLBACK(http_get_headers);
CALLBACK(http_set_header);
CALLBACK(http_add_header);
CALLBACK(http_get_body_size);
CALLBACK(http_get_body_chunks_size);
CALLBACK(http_get_body_chunks);
CALLBACK(http_append_body);
CALLBACK(http_drain_body);
CALLBACK(http_filter_http_callout);
CALLBACK(http_filter_continue_decoding);

/* Hooks, so that the compiler compares the definitions below with the declarations. */
#define HOOK(name) envoy_dynamic_module_on_##name##_fn envoy_dynamic_module_on_##name
HOOK(program_init);
HOOK(http_filter_config_new);
HOOK(http_filter_config_destroy);
HOOK(http_filter_per_route_config_new);
HOOK(http_filter_per_route_config_destroy);
HOOK(http_filter_new);
HOOK(http_filter_request_headers);
HOOK(http_filter_request_body);
HOOK(http_filter_request_trailers);
HOOK(http_filter_response_headers);
HOOK(http_filter_response_body);
HOOK(http_filter_response_trailers);
HOOK(http_filter_stream_complete);
HOOK(http_filter_destroy);
HOOK(http_filter_scheduled);
HOOK(http_filter_downstream_above_write_buffer_high_watermark);
HOOK(http_filter_downstream_below_write_buffer_low_watermark);
HOOK(http_filter_http_callout_done);
HOOK(http_filter_http_stream_headers);
HOOK(http_filter_http_stream_data);
HOOK(http_filter_http_stream_trailers);
HOOK(http_filter_http_stream_complete);
HOOK(http_filter_http_stream_reset);

typedef envoy_dynamic_module_type_module_buffer Text;
typedef envoy_dynamic_module_type_http_filter_envoy_ptr Envoy;
typedef envoy_dynamic_module_type_http_filter_module_ptr Filter;

enum Workload { EMPTY, HEADER, HEADERS, BODY, CALLOUT };

struct Config {
  enum Workload workload;
  char header[64];
  char value[64];
  size_t counter;
};

struct Stream {
  const struct Config* config;
  char status[4];
};

static Text text(const char* string) { return (Text){.ptr = string, .length = strlen(string)}; }

const char* envoy_dynamic_module_on_program_init(void) { return "v0.2.0"; }

/* ---- Configuration ---- */

const void* envoy_dynamic_module_on_http_filter_config_new(
    envoy_dynamic_module_type_http_filter_config_envoy_ptr config_envoy, envoy_dynamic_module_type_envoy_buffer name,
    envoy_dynamic_module_type_envoy_buffer settings) {
  (void)name;
  char word[256];
  struct Config* config = calloc(1, sizeof *config);
  if (config == NULL || settings.length >= sizeof word) return NULL;
  memcpy(word, settings.ptr, settings.length);
  word[settings.length] = 0;
  if (sscanf(word, "header %63s %63s", config->header, config->value) == 2) {
    config->workload = HEADER;
    envoy_dynamic_module_callback_http_filter_config_define_counter(config_envoy, text("add_header_responses"), NULL,
                                                                    0, &config->counter);
  } else if (strcmp(word, "empty") == 0) {
    config->workload = EMPTY;
  } else if (strcmp(word, "headers") == 0) {
    config->workload = HEADERS;
  } else if (strcmp(word, "body") == 0) {
    config->workload = BODY;
  } else if (strcmp(word, "callout") == 0) {
    config->workload = CALLOUT;
  } else {
    free(config);
    return NULL;
  }
  return config;
}

void envoy_dynamic_module_on_http_filter_config_destroy(const void* config) { free((void*)config); }

const void* envoy_dynamic_module_on_http_filter_per_route_config_new(envoy_dynamic_module_type_envoy_buffer name,
                                                                     envoy_dynamic_module_type_envoy_buffer settings) {
  (void)name, (void)settings;
  return NULL;
}

void envoy_dynamic_module_on_http_filter_per_route_config_destroy(const void* config) { (void)config; }

/* ---- Streams ---- */

const void* envoy_dynamic_module_on_http_filter_new(const void* config, Envoy envoy) {
  (void)envoy;
  struct Stream* stream = calloc(1, sizeof *stream);
  if (stream != NULL) stream->config = config;
  return stream;
}

void envoy_dynamic_module_on_http_filter_destroy(Filter filter) { free((void*)filter); }

/* Reads all response headers, and counts those that are no pseudo-headers. */
static size_t count_headers(Envoy envoy) {
  enum { MOST = 64 };
  envoy_dynamic_module_type_envoy_http_header headers[MOST];
  const envoy_dynamic_module_type_http_header_type map = envoy_dynamic_module_type_http_header_type_ResponseHeader;
  const size_t size = envoy_dynamic_module_callback_http_get_headers_size(envoy, map);
  size_t count = 0;
  if (size > MOST || !envoy_dynamic_module_callback_http_get_headers(envoy, map, headers)) return 0;
  for (size_t at = 0; at < size; at++) count += headers[at].key_length > 0 && headers[at].key_ptr[0] != ':';
  return count;
}

static bool start_callout(Envoy envoy) {
  envoy_dynamic_module_type_module_http_header headers[] = {
      {":method", 7, "GET", 3},
      {":path", 5, "/", 1},
      {":authority", 10, "callout", 7},
  };
  uint64_t id;
  return envoy_dynamic_module_callback_http_filter_http_callout(envoy, &id, text("callout"), headers, 3, text(""),
                                                                5000) ==
         envoy_dynamic_module_type_http_callout_init_result_Success;
}

envoy_dynamic_module_type_on_http_filter_headers_status envoy_dynamic_module_on_http_filter_request_headers(
    Envoy envoy, Filter filter, bool end_of_stream) {
  (void)end_of_stream;
  struct Stream* stream = (struct Stream*)filter;
  if (stream->config->workload == CALLOUT && start_callout(envoy)) {
    return envoy_dynamic_module_type_on_http_filter_headers_status_StopAllIterationAndBuffer;
  }
  return envoy_dynamic_module_type_on_http_filter_headers_status_Continue;
}

void envoy_dynamic_module_on_http_filter_http_callout_done(
    Envoy envoy, Filter filter, uint64_t callout_id, envoy_dynamic_module_type_http_callout_result result,
    envoy_dynamic_module_type_envoy_http_header* headers, size_t headers_length,
    envoy_dynamic_module_type_envoy_buffer* body_chunks, size_t body_chunks_length) {
  (void)callout_id, (void)body_chunks, (void)body_chunks_length;
  struct Stream* stream = (struct Stream*)filter;
  if (result == envoy_dynamic_module_type_http_callout_result_Success) {
    for (size_t at = 0; at < headers_length; at++) {
      const bool is_status = headers[at].key_length == 7 && memcmp(headers[at].key_ptr, ":status", 7) == 0;
      if (is_status && headers[at].value_length == 3) memcpy(stream->status, headers[at].value_ptr, 3);
    }
  }
  envoy_dynamic_module_callback_http_filter_continue_decoding(envoy);
}

envoy_dynamic_module_type_on_http_filter_headers_status envoy_dynamic_module_on_http_filter_response_headers(
    Envoy envoy, Filter filter, bool end_of_stream) {
  (void)end_of_stream;
  const struct Stream* stream = filter;
  const struct Config* config = stream->config;
  const envoy_dynamic_module_type_http_header_type response = envoy_dynamic_module_type_http_header_type_ResponseHeader;
  static const char* const names[] = {"x-bench-0", "x-bench-1", "x-bench-2", "x-bench-3", "x-bench-4",
                                      "x-bench-5", "x-bench-6", "x-bench-7", "x-bench-8", "x-bench-9"};
  char count[24];
  switch (config->workload) {
    case HEADER:
      envoy_dynamic_module_callback_http_add_header(envoy, response, text(config->header), text(config->value));
      envoy_dynamic_module_callback_http_filter_increment_counter(envoy, config->counter, NULL, 0, 1);
      break;
    case HEADERS:
      snprintf(count, sizeof count, "%zu", count_headers(envoy));
      for (size_t at = 0; at < 10; at++) {
        envoy_dynamic_module_callback_http_set_header(envoy, response, text(names[at]), text(count));
      }
      break;
    case CALLOUT:
      envoy_dynamic_module_callback_http_set_header(envoy, response, text("x-callout"), text(stream->status));
      break;
    case EMPTY:
    case BODY:
      break;
  }
  return envoy_dynamic_module_type_on_http_filter_headers_status_Continue;
}

/* ---- The body ---- */

/* Appends the bytes of a body to `to`, in capitals, and empties the body. */
static char* take_capitals(Envoy envoy, envoy_dynamic_module_type_http_body_type type, char* to) {
  enum { MOST = 256 };
  envoy_dynamic_module_type_envoy_buffer chunks[MOST];
  const size_t count = envoy_dynamic_module_callback_http_get_body_chunks_size(envoy, type);
  if (count == 0 || count > MOST || !envoy_dynamic_module_callback_http_get_body_chunks(envoy, type, chunks)) return to;
  size_t length = 0;
  for (size_t chunk = 0; chunk < count; chunk++) {
    const unsigned char* from = (const unsigned char*)chunks[chunk].ptr;
    for (size_t at = 0; at < chunks[chunk].length; at++) {
      *to++ = (char)(from[at] - ((unsigned char)(from[at] - 'a') < 26 ? 'a' - 'A' : 0));
    }
    length += chunks[chunk].length;
  }
  envoy_dynamic_module_callback_http_drain_body(envoy, type, length);
  return to;
}

envoy_dynamic_module_type_on_http_filter_body_status envoy_dynamic_module_on_http_filter_response_body(
    Envoy envoy, Filter filter, bool end_of_stream) {
  const struct Stream* stream = filter;
  const envoy_dynamic_module_type_http_body_type received = envoy_dynamic_module_type_http_body_type_ReceivedResponseBody;
  const envoy_dynamic_module_type_http_body_type buffered = envoy_dynamic_module_type_http_body_type_BufferedResponseBody;
  if (stream->config->workload != BODY) return envoy_dynamic_module_type_on_http_filter_body_status_Continue;
  if (!end_of_stream) return envoy_dynamic_module_type_on_http_filter_body_status_StopIterationAndBuffer;
  const size_t size = envoy_dynamic_module_callback_http_get_body_size(envoy, buffered) +
                      envoy_dynamic_module_callback_http_get_body_size(envoy, received);
  char* body = malloc(size);
  if (body == NULL) return envoy_dynamic_module_type_on_http_filter_body_status_Continue;
  char* end = take_capitals(envoy, received, take_capitals(envoy, buffered, body));
  envoy_dynamic_module_callback_http_append_body(envoy, received, (Text){.ptr = body, .length = (size_t)(end - body)});
  free(body);
  return envoy_dynamic_module_type_on_http_filter_body_status_Continue;
}

/* ---- Hooks that have nothing to do ---- */

envoy_dynamic_module_type_on_http_filter_body_status envoy_dynamic_module_on_http_filter_request_body(
    Envoy envoy, Filter filter, bool end_of_stream) {
  (void)envoy, (void)filter, (void)end_of_stream;
  return envoy_dynamic_module_type_on_http_filter_body_status_Continue;
}

envoy_dynamic_module_type_on_http_filter_trailers_status envoy_dynamic_module_on_http_filter_request_trailers(
    Envoy envoy, Filter filter) {
  (void)envoy, (void)filter;
  return envoy_dynamic_module_type_on_http_filter_trailers_status_Continue;
}

envoy_dynamic_module_type_on_http_filter_trailers_status envoy_dynamic_module_on_http_filter_response_trailers(
    Envoy envoy, Filter filter) {
  (void)envoy, (void)filter;
  return envoy_dynamic_module_type_on_http_filter_trailers_status_Continue;
}

void envoy_dynamic_module_on_http_filter_stream_complete(Envoy envoy, Filter filter) { (void)envoy, (void)filter; }

void envoy_dynamic_module_on_http_filter_scheduled(Envoy envoy, Filter filter, uint64_t event_id) {
  (void)envoy, (void)filter, (void)event_id;
}

void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(Envoy envoy, Filter filter) {
  (void)envoy, (void)filter;
}

void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(Envoy envoy, Filter filter) {
  (void)envoy, (void)filter;
}

void envoy_dynamic_module_on_http_filter_http_stream_headers(Envoy envoy, Filter filter, uint64_t stream_id,
                                                             envoy_dynamic_module_type_envoy_http_header* headers,
                                                             size_t headers_length, bool end_of_stream) {
  (void)envoy, (void)filter, (void)stream_id, (void)headers, (void)headers_length, (void)end_of_stream;
}

void envoy_dynamic_module_on_http_filter_http_stream_data(Envoy envoy, Filter filter, uint64_t stream_id,
                                                          const envoy_dynamic_module_type_envoy_buffer* data,
                                                          size_t data_length, bool end_of_stream) {
  (void)envoy, (void)filter, (void)stream_id, (void)data, (void)data_length, (void)end_of_stream;
}

void envoy_dynamic_module_on_http_filter_http_stream_trailers(Envoy envoy, Filter filter, uint64_t stream_id,
                                                              envoy_dynamic_module_type_envoy_http_header* trailers,
                                                              size_t trailers_length) {
  (void)envoy, (void)filter, (void)stream_id, (void)trailers, (void)trailers_length;
}

void envoy_dynamic_module_on_http_filter_http_stream_complete(Envoy envoy, Filter filter, uint64_t stream_id) {
  (void)envoy, (void)filter, (void)stream_id;
}

void envoy_dynamic_module_on_http_filter_http_stream_reset(Envoy envoy, Filter filter, uint64_t stream_id,
                                                           envoy_dynamic_module_type_http_stream_reset_reason reason) {
  (void)envoy, (void)filter, (void)stream_id, (void)reason;
}
