//! What is compared: hosts of filters, and settings of Graft.
//!
//! To compare one more setting, add a line to [`VARIANTS`]; its column appears in all tables. A setting that the library
//! does not know is found out by `envoy --mode validate`, and the variant is left out with a note.

use std::path::Path;

use serde_json::{Value, json};

use crate::failure::{Doing as _, Outcome};
use crate::files::Files;
use crate::workloads::Workload;

/// What runs the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Nothing does.
    None,
    /// A module in C.
    Native,
    /// This project; the text is the `graft` block of the configuration, in JSON.
    Graft(&'static str),
    /// `envoy.filters.http.wasm`.
    BuiltIn,
    /// `envoy.filters.http.lua`.
    Lua,
}

#[derive(Clone, Copy, Debug)]
pub struct Variant {
    pub key: &'static str,
    pub title: &'static str,
    pub host: Host,
}

/// The first is what the others are measured against.
pub const VARIANTS: [Variant; 6] = [
    Variant { key: "none", title: "no filter", host: Host::None },
    Variant { key: "native", title: "native module (C)", host: Host::Native },
    Variant { key: "shared", title: "Graft `shared`", host: Host::Graft("{}") },
    Variant { key: "stream", title: "Graft `stream`", host: Host::Graft(r#"{"isolation": "stream"}"#) },
    Variant { key: "v8", title: "built-in filter (V8)", host: Host::BuiltIn },
    Variant { key: "lua", title: "Lua filter", host: Host::Lua },
];

/// A plugin, configured, for either of the hosts that run plugins.
#[derive(Clone, Copy, Debug)]
pub struct Plugin<'a> {
    /// The name of its file under `target/plugins`.
    pub file: &'a str,
    /// As in a user's configuration: a VM of its own for each name.
    pub name: &'a str,
    pub configuration: &'a str,
    pub failure_policy: &'a str,
}

const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
const STRING: &str = "type.googleapis.com/google.protobuf.StringValue";
const DYNAMIC_MODULE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const LUA: &str = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";

impl Variant {
    pub fn is_baseline(&self) -> bool {
        self.host == Host::None
    }

    /// Whether the work of a workload can be had from it.
    pub fn does(&self, workload: &Workload) -> bool {
        match self.host {
            Host::None | Host::Graft(_) | Host::BuiltIn => true,
            Host::Native => workload.native.is_some(),
            Host::Lua => workload.lua.is_some(),
        }
    }

    /// The filters of a workload's chain.
    pub fn filters(&self, workload: &Workload, files: &Files) -> Outcome<Vec<Value>> {
        (1..=workload.chain).filter_map(|place| self.filter_at(workload, place, files).transpose()).collect()
    }

    fn filter_at(&self, workload: &Workload, place: usize, files: &Files) -> Outcome<Option<Value>> {
        let name = format!("bench-{place}");
        let at_place = |text: &str| text.replace("{n}", &place.to_string());
        match self.host {
            Host::None => Ok(None),
            Host::Native => Ok(workload.native.map(|words| {
                module(&name, &files.native, &json!({ "@type": STRING, "value": at_place(words) }))
            })),
            Host::Lua => Ok(workload.lua.map(|script| {
                let code = json!({ "inline_string": at_place(script) });
                json!({ "name": name, "typed_config": { "@type": LUA, "default_source_code": code } })
            })),
            Host::Graft(_) | Host::BuiltIn => {
                let configuration = at_place(workload.configuration);
                let plugin = Plugin {
                    file: workload.plugin,
                    name: &name,
                    configuration: &configuration,
                    failure_policy: "FAIL_CLOSED",
                };
                self.plugin(&plugin, files)
            }
        }
    }

    /// The filter of a plugin, from a host that runs plugins.
    pub fn plugin(&self, plugin: &Plugin<'_>, files: &Files) -> Outcome<Option<Value>> {
        self.plugin_of(plugin, &files.plugin(plugin.file)?, files)
    }

    /// The same with other code.
    pub fn plugin_of(&self, plugin: &Plugin<'_>, code: &Path, files: &Files) -> Outcome<Option<Value>> {
        let mut settings = json!({
            "name": plugin.name,
            "vm_config": {
                "vm_id": plugin.name,
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": code } },
            },
            "configuration": { "@type": STRING, "value": plugin.configuration },
            "failure_policy": plugin.failure_policy,
        });
        Ok(match self.host {
            Host::Graft(block) => {
                let block: Value =
                    serde_json::from_str(block).doing("reading the block `graft` of a variant")?;
                if block.as_object().is_some_and(|fields| !fields.is_empty()) {
                    settings["graft"] = block;
                }
                let configuration = json!({ "@type": STRUCT, "value": settings });
                Some(module(plugin.name, &files.graft, &configuration))
            }
            Host::BuiltIn => {
                let configuration = json!({ "@type": WASM, "config": settings });
                Some(json!({ "name": plugin.name, "typed_config": configuration }))
            }
            Host::None | Host::Native | Host::Lua => None,
        })
    }

    /// Whether it runs plugins.
    pub fn runs_plugins(&self) -> bool {
        matches!(self.host, Host::Graft(_) | Host::BuiltIn)
    }
}

/// The filter of a dynamic module.
fn module(name: &str, file: &Path, configuration: &Value) -> Value {
    json!({
        "name": name,
        "typed_config": {
            "@type": DYNAMIC_MODULE,
            "dynamic_module_config": { "module": { "local": { "filename": file } }, "do_not_close": true },
            "filter_name": name,
            "filter_config": configuration,
        },
    })
}
