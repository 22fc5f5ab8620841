// Command bench-large is a plugin of the size that plugins in standard Go have once they use the standard library:
// templates, regular expressions, JSON and certificates stand for what authors reach for.
//
// It is for the time that a host takes from its start to the first answer. A request gets the header x-large from a
// template that is parsed when the plugin is configured, so the code is not only there.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"html/template"
	"regexp"

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

func (*vmContext) NewPluginContext(uint32) types.PluginContext {
	return &pluginContext{}
}

type settings struct {
	Template string `json:"template"`
	Pattern  string `json:"pattern"`
	// Certificates in PEM that the plugin trusts.
	Trusted string `json:"trusted"`
}

type pluginContext struct {
	types.DefaultPluginContext
	template *template.Template
	pattern  *regexp.Regexp
	trusted  *x509.CertPool
}

func (plugin *pluginContext) OnPluginStart(int) types.OnPluginStartStatus {
	settings := settings{Template: "{{.Path}}", Pattern: "^/[a-z]*$"}
	bytes, err := proxywasm.GetPluginConfiguration()
	if err == nil && len(bytes) > 0 {
		err = json.Unmarshal(bytes, &settings)
	}
	if err == nil && settings.Trusted != "" {
		plugin.trusted = x509.NewCertPool()
		plugin.trusted.AppendCertsFromPEM([]byte(settings.Trusted))
	}
	if err == nil {
		plugin.template, err = template.New("header").Parse(settings.Template)
	}
	if err == nil {
		plugin.pattern, err = regexp.Compile(settings.Pattern)
	}
	if err != nil {
		proxywasm.LogCriticalf("the configuration is not understood: %v", err)
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (plugin *pluginContext) NewHttpContext(uint32) types.HttpContext {
	return &stream{plugin: plugin}
}

type stream struct {
	types.DefaultHttpContext
	plugin *pluginContext
	header string
}

func (stream *stream) OnHttpRequestHeaders(int, bool) types.Action {
	path, err := proxywasm.GetHttpRequestHeader(":path")
	if err != nil || !stream.plugin.pattern.MatchString(path) {
		return types.ActionContinue
	}
	var header bytes.Buffer
	if err := stream.plugin.template.Execute(&header, struct{ Path string }{path}); err == nil {
		stream.header = header.String()
	}
	return types.ActionContinue
}

func (stream *stream) OnHttpResponseHeaders(int, bool) types.Action {
	if err := proxywasm.AddHttpResponseHeader("x-large", stream.header); err != nil {
		proxywasm.LogErrorf("the header was refused: %v", err)
	}
	return types.ActionContinue
}
