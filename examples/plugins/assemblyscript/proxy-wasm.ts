// The part of Proxy-Wasm 0.2.1 that a small HTTP plugin in AssemblyScript needs.
//
// The SDK in the npm registry wants a compiler of 2020; this file works with a current one. It declares the hostcalls
// (module "env"), wraps those that hand out bytes, and exports what every plugin has to: the ABI marker and malloc.
// A plugin does `export * from "../proxy-wasm"` and exports the callbacks that it wants, `proxy_on_*`.

export const enum Status { OK = 0, NotFound = 1, BadArgument = 2 }
export const enum LogLevel { Trace, Debug, Info, Warn, Error, Critical }
export const enum HeaderMap { Request = 0, RequestTrailers = 1, Response = 2, ResponseTrailers = 3 }
export const enum BufferKind { RequestBody = 0, ResponseBody = 1, VmConfiguration = 6, PluginConfiguration = 7 }
export const enum MetricKind { Counter = 0, Gauge = 1, Histogram = 2 }
export const enum Action { Continue = 0, Pause = 1 }

@external("env", "proxy_log")
declare function proxy_log(level: u32, message: usize, size: usize): u32;
@external("env", "proxy_get_header_map_value")
declare function proxy_get_header_map_value(map: u32, name: usize, nameSize: usize, value: usize, size: usize): u32;
@external("env", "proxy_remove_header_map_value")
declare function proxy_remove_header_map_value(map: u32, name: usize, nameSize: usize): u32;
@external("env", "proxy_replace_header_map_value")
declare function proxy_replace_header_map_value(map: u32, name: usize, nameSize: usize, value: usize, size: usize): u32;
@external("env", "proxy_get_buffer_bytes")
declare function proxy_get_buffer_bytes(buffer: u32, start: usize, length: usize, value: usize, size: usize): u32;
@external("env", "proxy_set_buffer_bytes")
declare function proxy_set_buffer_bytes(buffer: u32, start: usize, length: usize, value: usize, size: usize): u32;
@external("env", "proxy_define_metric")
declare function proxy_define_metric(kind: u32, name: usize, nameSize: usize, id: usize): u32;
@external("env", "proxy_increment_metric")
declare function proxy_increment_metric(id: u32, delta: i64): u32;

// What the host allocated and no hostcall has taken yet. The collector must not free it, so it is pinned.
export function malloc(size: usize): usize {
  return __pin(changetype<usize>(new ArrayBuffer(<i32>size)));
}

export function proxy_abi_version_0_2_1(): void {}

// Where hostcalls write an address and a size.
const outputs = memory.data(8);

// Takes what a hostcall put at the outputs: it is the buffer that malloc made, so nothing is copied.
function take(status: u32): ArrayBuffer | null {
  if (status != Status.OK) return null;
  const address = load<usize>(outputs);
  if (address == 0) return new ArrayBuffer(0);
  __unpin(address);
  return changetype<ArrayBuffer>(address);
}

// Logs a line.
export function log(level: LogLevel, message: string): void {
  const bytes = String.UTF8.encode(message);
  proxy_log(level, changetype<usize>(bytes), bytes.byteLength);
}

// Reads a header; null if there is none.
export function getHeader(map: HeaderMap, name: string): string | null {
  const key = String.UTF8.encode(name);
  const value = take(proxy_get_header_map_value(map, changetype<usize>(key), key.byteLength, outputs, outputs + 4));
  return value ? String.UTF8.decode(value) : null;
}

// Sets a header, in place of all that have its name.
export function setHeader(map: HeaderMap, name: string, value: string): void {
  const key = String.UTF8.encode(name);
  const bytes = String.UTF8.encode(value);
  proxy_replace_header_map_value(
    map, changetype<usize>(key), key.byteLength, changetype<usize>(bytes), bytes.byteLength);
}

// Removes a header.
export function removeHeader(map: HeaderMap, name: string): void {
  const key = String.UTF8.encode(name);
  proxy_remove_header_map_value(map, changetype<usize>(key), key.byteLength);
}

// Reads a body or a configuration.
export function getBuffer(buffer: BufferKind, size: u32): string {
  const bytes = take(proxy_get_buffer_bytes(buffer, 0, size, outputs, outputs + 4));
  return bytes ? String.UTF8.decode(bytes) : "";
}

// Replaces the first `size` bytes of a body.
export function setBuffer(buffer: BufferKind, size: u32, value: string): void {
  const bytes = String.UTF8.encode(value);
  proxy_set_buffer_bytes(buffer, 0, size, changetype<usize>(bytes), bytes.byteLength);
}

// A number that only grows, in the host's statistics.
export class Counter {
  private id: u32;

  constructor(name: string) {
    const bytes = String.UTF8.encode(name);
    proxy_define_metric(MetricKind.Counter, changetype<usize>(bytes), bytes.byteLength, outputs);
    this.id = load<u32>(outputs);
  }

  increment(delta: i64): void {
    proxy_increment_metric(this.id, delta);
  }
}

// What the compiler calls when the plugin fails: the host learns why before the plugin traps.
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  log(LogLevel.Critical, `${message ? message : "failed"} at ${file ? file : "?"}:${line}:${column}`);
  unreachable();
}
