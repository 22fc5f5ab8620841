// An ordinary plugin of the AssemblyScript SDK: ABI 0.2.0, reference counting, its code runs from the start section.
//
// It looks up its root context by the plugin's root id (here "sdk-assemblyscript", or none), answers a path itself,
// marks headers in both directions, counts the request's headers, and keeps metrics. The SDK reads its configuration in a way
// that writes the size to an address of its own making, not aligned: hosts have to let it.

export * from "@solo-io/proxy-runtime/proxy";
import {
  Context,
  Counter,
  FilterDataStatusValues,
  FilterHeadersStatusValues,
  Gauge,
  GrpcStatusValues,
  LogLevelValues,
  RootContext,
  log,
  registerRootContext,
  send_local_response,
  stream_context,
} from "@solo-io/proxy-runtime";

class Root extends RootContext {
  requests: Counter | null = null;
  active: Gauge | null = null;

  onConfigure(size: u32): bool {
    super.onConfigure(size);
    this.requests = new Counter("sdk_assemblyscript_requests");
    this.active = new Gauge("sdk_assemblyscript_active");
    log(LogLevelValues.info, "configured with " + size.toString() + " bytes");
    return true;
  }

  createContext(id: u32): Context {
    return new Stream(id, this);
  }
}

class Stream extends Context {
  constructor(id: u32, root: Root) {
    super(id, root);
  }

  onRequestHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const root = changetype<Root>(this.root_context);
    root.requests!.increment(1);
    root.active!.increment(1);
    const request = stream_context.headers.request;
    const path = request.get(":path");
    log(LogLevelValues.info, "request " + path + " of " + count.toString() + " headers");
    if (path == "/local") {
      send_local_response(418, "asked to", String.UTF8.encode("from AssemblyScript"), [], GrpcStatusValues.Unavailable);
      return FilterHeadersStatusValues.StopAllIterationAndWatermark;
    }
    request.add("x-greeting", "assemblyscript");
    request.replace("x-repeated", "once");
    request.remove("x-unwanted");
    request.add("x-count", request.get_headers().length.toString());
    return FilterHeadersStatusValues.Continue;
  }

  onRequestBody(size: usize, end: bool): FilterDataStatusValues {
    log(LogLevelValues.info, "request body of " + size.toString() + ", end " + end.toString());
    return end ? FilterDataStatusValues.Continue : FilterDataStatusValues.StopIterationAndBuffer;
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const response = stream_context.headers.response;
    log(LogLevelValues.info, "response " + response.get(":status"));
    response.add("x-greeting", "assemblyscript");
    return FilterHeadersStatusValues.Continue;
  }

  onLog(): void {
    log(LogLevelValues.info, "logged");
  }

  onDone(): bool {
    changetype<Root>(this.root_context).active!.increment(-1);
    log(LogLevelValues.info, "done");
    return true;
  }
}

registerRootContext((id: u32) => new Root(id), "sdk-assemblyscript");
registerRootContext((id: u32) => new Root(id), "");
