// Masks secrets in JSON responses: the value of the fields that the configuration names, one name a line.
//
//     {"user": "ann", "password": "hunter2"}   becomes   {"user": "ann", "password": "***"}
//
// A response that is not JSON passes untouched. A JSON body is held back until it is whole, since a secret may be cut
// in two by a chunk; its length changes, so the announced one is taken out of the headers before they leave.

import {
  Action, BufferKind, Counter, HeaderMap, LogLevel, getBuffer, getHeader, log, removeHeader, setBuffer,
} from "../proxy-wasm";

export { malloc, proxy_abi_version_0_2_1 } from "../proxy-wasm";

const mask = "\"***\"";

// The fields of each root context, and the streams whose response is JSON with the root context that they belong to.
const fields = new Map<u32, string[]>();
const roots = new Map<u32, u32>();
const redacting = new Set<u32>();
let redacted: Counter | null = null;

export function proxy_on_context_create(context: u32, parent: u32): void {
  if (parent != 0) roots.set(context, parent);
}

export function proxy_on_configure(context: u32, size: u32): u32 {
  const names = new Array<string>();
  const lines = getBuffer(BufferKind.PluginConfiguration, size).split("\n");
  for (let i = 0; i < lines.length; i++) {
    const name = lines[i].trim();
    if (name.length > 0) names.push(name);
  }
  fields.set(context, names);
  redacted = new Counter("redacted_fields");
  log(LogLevel.Info, `redacting ${names.join(", ")}`);
  return 1;
}

export function proxy_on_response_headers(context: u32, count: u32, endOfStream: u32): Action {
  const type = getHeader(HeaderMap.Response, "content-type");
  if (!endOfStream && type && type.startsWith("application/json")) {
    redacting.add(context);
    removeHeader(HeaderMap.Response, "content-length");
  }
  return Action.Continue;
}

export function proxy_on_response_body(context: u32, size: u32, endOfStream: u32): Action {
  if (!redacting.has(context)) return Action.Continue;
  if (!endOfStream) return Action.Pause;

  let body = getBuffer(BufferKind.ResponseBody, size);
  let count = 0;
  const names = fields.get(roots.get(context));
  for (let i = 0; i < names.length; i++) {
    const parts = body.split(`"${names[i]}"`);
    body = parts[0];
    for (let part = 1; part < parts.length; part++) {
      const rest = maskValue(parts[part]);
      if (rest != parts[part]) count++;
      body += `"${names[i]}"` + rest;
    }
  }
  if (count > 0) {
    setBuffer(BufferKind.ResponseBody, size, body);
    redacted!.increment(count);
  }
  return Action.Continue;
}

// Given what follows a name, `: "secret", ...`, gives it with the string masked. What is not a string stays.
function maskValue(text: string): string {
  let start = skipSpace(text, 0);
  if (text.charAt(start) != ":") return text;
  start = skipSpace(text, start + 1);
  if (text.charAt(start) != "\"") return text;
  let end = start + 1;
  while (end < text.length && text.charAt(end) != "\"") {
    end += text.charAt(end) == "\\" ? 2 : 1;
  }
  return text.substring(0, start) + mask + text.substring(end + 1);
}

function skipSpace(text: string, from: i32): i32 {
  while (from < text.length && text.charAt(from).trim().length == 0) from++;
  return from;
}

export function proxy_on_delete(context: u32): void {
  roots.delete(context);
  redacting.delete(context);
  fields.delete(context);
}
