// A plugin in C++ as its SDK's users write them: static objects with constructors, classes for contexts, and the
// standard library's strings and maps. There is no package of the C++ SDK, so the few declarations are here.
//
// It journals what happens to a stream and adds the journal to the response: `x-journal: request-headers,...`. Every
// piece of it was allocated by a constructor, so a host that does not run them (`_initialize`) is found out.

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#define EXPORT(name) extern "C" __attribute__((export_name(#name)))
#define HOSTCALL(name) extern "C" __attribute__((import_module("env"), import_name(#name)))

HOSTCALL(proxy_log) uint32_t proxy_log(uint32_t level, const char *message, size_t size);
HOSTCALL(proxy_get_buffer_bytes)
uint32_t proxy_get_buffer_bytes(uint32_t buffer, size_t start, size_t length, char **value, size_t *size);
HOSTCALL(proxy_get_header_map_value)
uint32_t proxy_get_header_map_value(uint32_t map, const char *name, size_t name_size, char **value, size_t *size);
HOSTCALL(proxy_add_header_map_value)
uint32_t proxy_add_header_map_value(uint32_t map, const char *name, size_t name_size, const char *value, size_t size);
HOSTCALL(proxy_get_property)
uint32_t proxy_get_property(const char *path, size_t path_size, char **value, size_t *size);

EXPORT(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1() {}
EXPORT(malloc) void *exported_malloc(size_t size) { return std::malloc(size); }

namespace {

enum : uint32_t { kInfo = 2, kRequestHeaders = 0, kResponseHeaders = 2, kPluginConfiguration = 7, kContinue = 0 };

void log(const std::string &message) { proxy_log(kInfo, message.data(), message.size()); }

// Takes what a hostcall handed out.
template <typename Hostcall> std::string take(Hostcall hostcall) {
    char *value = nullptr;
    size_t size = 0;
    if (hostcall(&value, &size) != 0 || value == nullptr) return {};
    std::string taken(value, size);
    std::free(value);
    return taken;
}

std::string header(uint32_t map, std::string_view name) {
    return take([&](char **value, size_t *size) {
        return proxy_get_header_map_value(map, name.data(), name.size(), value, size);
    });
}

class Root {
  public:
    void configure(size_t size) {
        separator_ = take([&](char **value, size_t *taken) {
            return proxy_get_buffer_bytes(kPluginConfiguration, 0, size, value, taken);
        });
        if (separator_.empty()) separator_ = ",";
        log("journals are separated by \"" + separator_ + "\"");
    }
    const std::string &separator() const { return separator_; }
    // Streams that ended, by the path that they were for.
    std::map<std::string, int> visits;

  private:
    std::string separator_;
};

class Stream {
  public:
    explicit Stream(std::shared_ptr<Root> root) : root_(std::move(root)) {}

    void note(const std::string &entry) {
        if (!journal_.empty()) journal_ += root_->separator();
        journal_ += entry;
    }
    void onRequestHeaders() {
        static const std::string kMethod{"request\0method", 14};
        std::string method = take([&](char **value, size_t *size) {
            return proxy_get_property(kMethod.data(), kMethod.size(), value, size);
        });
        path_ = header(kRequestHeaders, ":path");
        note("request-headers:" + method);
    }
    void onResponseHeaders() {
        static const std::string kName = "x-journal";
        note("response-headers:" + header(kResponseHeaders, ":status"));
        proxy_add_header_map_value(kResponseHeaders, kName.data(), kName.size(), journal_.data(), journal_.size());
    }
    void onDone() {
        int visits = ++root_->visits[path_];
        log("visit " + std::to_string(visits) + " of " + path_ + ": " + journal_);
    }

  private:
    std::shared_ptr<Root> root_;
    std::string path_;
    std::string journal_;
};

// Filled by a constructor that runs before main would: it must have run when the first callback comes.
class Contexts {
  public:
    Contexts() : greeting_("constructors ran") {}
    const std::string &greeting() const { return greeting_; }
    std::map<uint32_t, std::shared_ptr<Root>> roots;
    std::map<uint32_t, std::unique_ptr<Stream>> streams;

  private:
    std::string greeting_;
};

Contexts contexts;

Stream *stream(uint32_t id) {
    auto found = contexts.streams.find(id);
    return found == contexts.streams.end() ? nullptr : found->second.get();
}

} // namespace

EXPORT(proxy_on_context_create) void proxy_on_context_create(uint32_t id, uint32_t parent) {
    if (parent == 0) {
        contexts.roots[id] = std::make_shared<Root>();
    } else {
        contexts.streams[id] = std::make_unique<Stream>(contexts.roots[parent]);
    }
}

EXPORT(proxy_on_vm_start) uint32_t proxy_on_vm_start(uint32_t, uint32_t) {
    log(contexts.greeting());
    return 1;
}

EXPORT(proxy_on_configure) uint32_t proxy_on_configure(uint32_t id, uint32_t size) {
    contexts.roots[id]->configure(size);
    return 1;
}

EXPORT(proxy_on_request_headers) uint32_t proxy_on_request_headers(uint32_t id, uint32_t, uint32_t) {
    if (Stream *found = stream(id)) found->onRequestHeaders();
    return kContinue;
}

EXPORT(proxy_on_request_body) uint32_t proxy_on_request_body(uint32_t id, uint32_t, uint32_t end_of_stream) {
    Stream *found = stream(id);
    if (found != nullptr && end_of_stream != 0) found->note("request-body");
    return kContinue;
}

EXPORT(proxy_on_response_headers) uint32_t proxy_on_response_headers(uint32_t id, uint32_t, uint32_t) {
    if (Stream *found = stream(id)) found->onResponseHeaders();
    return kContinue;
}

EXPORT(proxy_on_done) uint32_t proxy_on_done(uint32_t id) {
    if (Stream *found = stream(id)) found->onDone();
    return 1;
}

EXPORT(proxy_on_delete) void proxy_on_delete(uint32_t id) {
    contexts.streams.erase(id);
    contexts.roots.erase(id);
}
