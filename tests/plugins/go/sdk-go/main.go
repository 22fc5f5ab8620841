// Command sdk-go is an ordinary plugin of the Go SDK, built by standard Go as a reactor.
//
// It answers a path itself, rewrites bodies in each way that the SDK has, counts, reads properties and marks headers
// and trailers in both directions. What the SDK cannot do it returns as an error, and the plugin logs it: a host that
// answers differently is seen in the log.
package main

import (
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// A reactor has no main: the host calls what `go build` makes of init.
func main() {}

func init() {
	proxywasm.SetVMContext(&vmContext{})
}

type vmContext struct {
	types.DefaultVMContext
}

func (*vmContext) OnVMStart(size int) types.OnVMStartStatus {
	configuration, err := proxywasm.GetVMConfiguration()
	proxywasm.LogInfof("vm started with %q (%v)", configuration, err)
	return types.OnVMStartStatusOK
}

func (*vmContext) NewPluginContext(uint32) types.PluginContext {
	return &pluginContext{}
}

type pluginContext struct {
	types.DefaultPluginContext
	greeting string
	requests proxywasm.MetricCounter
	active   proxywasm.MetricGauge
	sizes    proxywasm.MetricHistogram
}

func (plugin *pluginContext) OnPluginStart(size int) types.OnPluginStartStatus {
	configuration, err := proxywasm.GetPluginConfiguration()
	if err != nil {
		proxywasm.LogErrorf("no configuration: %v", err)
		return types.OnPluginStartStatusFailed
	}
	plugin.greeting = string(configuration)
	plugin.requests = proxywasm.DefineCounterMetric("sdk_go_requests")
	plugin.active = proxywasm.DefineGaugeMetric("sdk_go_active")
	plugin.sizes = proxywasm.DefineHistogramMetric("sdk_go_body_bytes")
	proxywasm.LogInfof("configured to greet with %q", plugin.greeting)
	return types.OnPluginStartStatusOK
}

func (plugin *pluginContext) NewHttpContext(uint32) types.HttpContext {
	return &stream{plugin: plugin}
}

type stream struct {
	types.DefaultHttpContext
	plugin *pluginContext
	path   string
}

func (stream *stream) OnHttpRequestHeaders(count int, endOfStream bool) types.Action {
	stream.plugin.requests.Increment(1)
	stream.plugin.active.Add(1)

	path, err := proxywasm.GetHttpRequestHeader(":path")
	check("read :path", err)
	stream.path = path
	method, err := proxywasm.GetProperty([]string{"request", "method"})
	check("read request.method", err)
	proxywasm.LogInfof("request %s %s of %d headers, end %v", method, path, count, endOfStream)

	switch path {
	case "/local":
		body := []byte(stream.plugin.greeting + " from inside")
		check("answer", proxywasm.SendHttpResponse(418, [][2]string{{"x-greeting", stream.plugin.greeting}}, body, -1))
		return types.ActionPause
	case "/panic":
		panic("asked to")
	}

	check("add", proxywasm.AddHttpRequestHeader("x-greeting", stream.plugin.greeting))
	check("replace", proxywasm.ReplaceHttpRequestHeader("x-repeated", "once"))
	check("remove", proxywasm.RemoveHttpRequestHeader("x-unwanted"))
	if !endOfStream {
		check("remove", proxywasm.RemoveHttpRequestHeader("content-length"))
	}
	return types.ActionContinue
}

// The request body is held until it is whole, and changed as the path says.
func (stream *stream) OnHttpRequestBody(size int, endOfStream bool) types.Action {
	if !endOfStream {
		return types.ActionPause
	}
	stream.plugin.sizes.Record(uint64(size))
	body, err := proxywasm.GetHttpRequestBody(0, size)
	check("read body", err)
	switch {
	case strings.HasPrefix(stream.path, "/append"):
		err = proxywasm.AppendHttpRequestBody([]byte("<-appended"))
	case strings.HasPrefix(stream.path, "/prepend"):
		err = proxywasm.PrependHttpRequestBody([]byte("prepended->"))
	case strings.HasPrefix(stream.path, "/empty"):
		err = proxywasm.ReplaceHttpRequestBody(nil)
	default:
		err = proxywasm.ReplaceHttpRequestBody([]byte(strings.ToUpper(string(body))))
	}
	check("change body", err)
	return types.ActionContinue
}

func (*stream) OnHttpRequestTrailers(count int) types.Action {
	value, err := proxywasm.GetHttpRequestTrailer("x-check")
	proxywasm.LogInfof("%d request trailers, x-check %q (%v)", count, value, err)
	check("add trailer", proxywasm.AddHttpRequestTrailer("x-checked", "yes"))
	return types.ActionContinue
}

func (stream *stream) OnHttpResponseHeaders(_ int, endOfStream bool) types.Action {
	status, err := proxywasm.GetHttpResponseHeader(":status")
	check("read :status", err)
	proxywasm.LogInfof("response %s", status)
	check("add", proxywasm.AddHttpResponseHeader("x-greeting", stream.plugin.greeting))
	name, err := proxywasm.GetProperty([]string{"plugin_name"})
	check("read plugin_name", err)
	check("add", proxywasm.AddHttpResponseHeader("x-plugin", string(name)))
	if !endOfStream {
		check("remove", proxywasm.RemoveHttpResponseHeader("content-length"))
	}
	return types.ActionContinue
}

func (stream *stream) OnHttpResponseBody(_ int, endOfStream bool) types.Action {
	if endOfStream {
		check("append", proxywasm.AppendHttpResponseBody([]byte(" -- "+stream.plugin.greeting)))
	}
	return types.ActionContinue
}

func (*stream) OnHttpResponseTrailers(count int) types.Action {
	proxywasm.LogInfof("%d response trailers", count)
	check("replace trailer", proxywasm.ReplaceHttpResponseTrailer("x-checked", "yes"))
	return types.ActionContinue
}

func (stream *stream) OnHttpStreamDone() {
	stream.plugin.active.Add(-1)
	proxywasm.LogInfof("done, active %d, requests counted %v", stream.plugin.active.Value(), stream.plugin.requests.Value() > 0)
}

// check logs what a host refused.
func check(what string, err error) {
	if err != nil {
		proxywasm.LogErrorf("%s: %v", what, err)
	}
}
