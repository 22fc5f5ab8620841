//! A guest written beside the assertion, and the VM that runs it over a stream and a process made of plain data.
//!
//! A test writes what is particular to it, in WAT; the rest of a plugin is put around it:
//!
//! - the memory (two pages), an allocator that starts at [`HEAP`] and never frees, and the ABI marker;
//! - an import for every hostcall that the text names, as `$proxy_log`, with its type;
//! - `$say` logs a number, `$say64` a long one, `$show` the bytes whose address and length a hostcall stored.
//!
//! `(text "bytes")` anywhere stands for two constants: the address of these bytes, and their length. What a guest
//! logs is what a test looks at: [`Running::said`].

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use graft::engine::Engine;
use graft::engine::code::{Code, Effort, Wasm};
use graft::engine::limits::Limits;
use graft::engine::wasi::Environment;
use graft::host::calls::CallLimits;
use graft::host::commons::Commons;
use graft::host::contexts::{Plugin, RootIndex, StreamIndex};
use graft::host::hostcalls::{ALL, Hostcall, SINCE_V0_2_0, SINCE_V0_2_1, V0_1_0};
use graft::host::stream::Effect;
use graft::host::template::{Capabilities, Deadlines, LinkError, Settings, Template};
use graft::host::testing::{FakeServices, FakeStream, pairs};
use graft::host::types::{BodyAction, Direction, HeadersAction, TrailersAction};
use graft::host::vm::{CallError, LogLimit, StartError, Vm};
use graft::telemetry::Level;

/// Bytes of memory that a guest starts with.
pub const MEMORY: u32 = 2 * 65_536;

/// Where the allocator begins to hand out memory. Below it lies what tests put there themselves.
pub const HEAP: u32 = 65_536;

/// Where a hostcall may store the address of a value; its length goes to the word behind. For [`show`](self).
pub const VALUE: u32 = 8;

/// All tests share one engine, as all plugins of a process do.
static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| Arc::new(Engine::new().unwrap()));

/// Every function that the host may call by name: parameters, and what the harness answers unless told.
const EXPORTS: &[(&str, usize, Option<u32>)] = &[
    ("_initialize", 0, None),
    ("_start", 0, None),
    ("main", 2, Some(0)),
    ("__main_void", 0, Some(0)),
    ("malloc", 1, Some(0)),
    ("proxy_on_memory_allocate", 1, Some(0)),
    ("proxy_on_context_create", 2, None),
    ("proxy_on_vm_start", 2, Some(1)),
    ("proxy_on_configure", 2, Some(1)),
    ("proxy_on_request_headers", 3, Some(0)),
    ("proxy_on_request_body", 3, Some(0)),
    ("proxy_on_request_trailers", 2, Some(0)),
    ("proxy_on_response_headers", 3, Some(0)),
    ("proxy_on_response_body", 3, Some(0)),
    ("proxy_on_response_trailers", 2, Some(0)),
    ("proxy_on_tick", 1, None),
    ("proxy_on_queue_ready", 2, None),
    ("proxy_on_http_call_response", 5, None),
    ("proxy_on_grpc_receive_initial_metadata", 3, None),
    ("proxy_on_grpc_receive", 3, None),
    ("proxy_on_grpc_receive_trailing_metadata", 3, None),
    ("proxy_on_grpc_close", 3, None),
    ("envoy_on_resolve_dns", 3, None),
    ("proxy_on_new_connection", 1, Some(0)),
    ("proxy_on_downstream_data", 3, Some(0)),
    ("proxy_on_upstream_data", 3, Some(0)),
    ("proxy_on_downstream_connection_close", 2, None),
    ("proxy_on_upstream_connection_close", 2, None),
    ("proxy_on_done", 1, Some(1)),
    ("proxy_on_log", 1, None),
    ("proxy_on_delete", 1, None),
];

const ALLOCATOR: &str = r#"
    (global $heap (mut i32) (i32.const 65536))
    (func (export "malloc") (param $size i32) (result i32)
        (global.get $heap)
        (global.set $heap (i32.add (global.get $heap) (local.get $size))))"#;

/// `$say` uses the bytes below 1000, so tests keep to those below 960.
const VOICE: &str = r"
    (func $say (param $number i32) (call $say64 (i64.extend_i32_u (local.get $number))))
    (func $say64 (param $number i64) (local $at i32)
        (local.set $at (i32.const 1000))
        (loop $digits
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (i32.store8 (local.get $at)
                (i32.wrap_i64 (i64.add (i64.const 48) (i64.rem_u (local.get $number) (i64.const 10)))))
            (local.set $number (i64.div_u (local.get $number) (i64.const 10)))
            (br_if $digits (i64.ne (local.get $number) (i64.const 0))))
        (drop (call $proxy_log (i32.const 2) (local.get $at) (i32.sub (i32.const 1000) (local.get $at)))))
    (func $show (param $at i32)
        (drop (call $proxy_log (i32.const 2) (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))))";

/// Where the bytes of `(text …)` begin.
const TEXTS: usize = 1024;

/// A plugin in the making. Every method answers the guest, so that a test is one expression.
pub struct Guest {
    abi: &'static str,
    memory: &'static str,
    imports: String,
    functions: String,
    exports: Vec<(&'static str, String)>,
    has_allocator: bool,
    plugin: Plugin,
    settings: Settings,
    services: FakeServices,
}

impl Guest {
    /// A plugin of ABI 0.2.1 that does nothing.
    pub fn new() -> Self {
        Self {
            abi: "0_2_1",
            memory: r#"(memory (export "memory") 2)"#,
            imports: String::new(),
            functions: String::new(),
            exports: Vec::new(),
            has_allocator: true,
            plugin: plugin(1, "", b""),
            settings: Settings {
                vm_id: String::new(),
                configuration: Vec::new(),
                environment: Environment::default(),
                limits: Limits { memory_bytes: 16 * 1024 * 1024, table_elements: 1000 },
                deadlines: Deadlines {
                    start: Duration::from_secs(20),
                    configure: Duration::from_secs(20),
                    call: Duration::from_secs(20),
                },
                capabilities: Capabilities::All,
                strict_local_responses: false,
                calls: CallLimits { calls: 100, bytes: 1024 * 1024 },
                shared_bytes: 1024 * 1024,
                log_limit: LogLimit::new(0),
            },
            services: FakeServices::default(),
        }
    }

    /// Exports another ABI's marker, such as `0_1_0`.
    pub fn abi(mut self, abi: &'static str) -> Self {
        self.abi = abi;
        self
    }

    /// Another memory than the two pages.
    pub fn memory(mut self, memory: &'static str) -> Self {
        self.memory = memory;
        self
    }

    /// Any import, as WAT.
    pub fn import(mut self, import: &str) -> Self {
        self.imports += import;
        self
    }

    /// Any field of a module, as WAT.
    pub fn with(mut self, functions: &str) -> Self {
        self.functions += functions;
        self
    }

    /// Puts bytes, as a WAT string has them, at an address.
    pub fn data(self, address: u32, bytes: &str) -> Self {
        self.with(&format!("(data (i32.const {address}) \"{bytes}\")"))
    }

    /// Exports a function that the host knows. Its parameters are `$0`, `$1` and so on. It answers what the host takes
    /// for "go on".
    pub fn on(self, name: &'static str, body: &str) -> Self {
        let (_, _, answer) = EXPORTS.iter().find(|(known, ..)| *known == name).unwrap();
        let answer = answer.map(|answer| format!("(i32.const {answer})")).unwrap_or_default();
        self.export(name, &format!("{body} {answer}"))
    }

    /// The same with another answer.
    pub fn answer(self, name: &'static str, answer: u32, body: &str) -> Self {
        self.export(name, &format!("{body} (i32.const {answer})"))
    }

    /// The same with a body that leaves its own answer.
    pub fn export(mut self, name: &'static str, body: &str) -> Self {
        self.has_allocator &= !matches!(name, "malloc" | "proxy_on_memory_allocate");
        let (_, parameters, answer) = EXPORTS.iter().find(|(known, ..)| *known == name).unwrap();
        let is_old_headers = self.abi == "0_1_0" && name.ends_with("_headers");
        let parameters = if is_old_headers { 2 } else { *parameters };
        let types: String = (0..parameters).map(|number| format!("(param ${number} i32)")).collect();
        let result = answer.map_or("", |_| "(result i32)");
        self.exports.push((name, format!("(func (export \"{name}\") {types} {result} {body})")));
        self
    }

    /// Calls a hostcall in an entry point, once for each row of arguments, and says what it answers.
    pub fn calling(self, entry_point: &'static str, hostcall: &str, rows: &[&[i64]]) -> Self {
        let calls: String = rows.iter().map(|row| say(hostcall, row)).collect();
        self.on(entry_point, &calls)
    }

    /// No `malloc` unless the test writes one.
    pub fn without_allocator(mut self) -> Self {
        self.has_allocator = false;
        self
    }

    /// The plugin's configuration.
    pub fn configuration(mut self, configuration: &str) -> Self {
        self.plugin.configuration = configuration.as_bytes().to_vec();
        self
    }

    /// The names by which log lines and properties know the plugin: name, root id, VM id.
    pub fn named(mut self, name: &str, root_id: &str, vm_id: &str) -> Self {
        name.clone_into(&mut self.plugin.name);
        root_id.clone_into(&mut self.plugin.root_id);
        vm_id.clone_into(&mut self.settings.vm_id);
        self
    }

    /// The VM's configuration.
    pub fn vm_configuration(mut self, configuration: &str) -> Self {
        self.settings.configuration = configuration.as_bytes().to_vec();
        self
    }

    /// The VM's environment variables.
    pub fn environment(mut self, variables: &[(&str, &str)]) -> Self {
        self.settings.environment = Environment::new(variables.iter().copied());
        self
    }

    /// `allow_on_headers_stop_iteration`.
    pub fn allowing_stop_iteration(mut self) -> Self {
        self.plugin.allow_on_headers_stop_iteration = true;
        self
    }

    /// Restricts what may be imported and called to these names.
    pub fn allowing_only(mut self, names: &[&str]) -> Self {
        let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.settings.capabilities = Capabilities::Only(names);
        self
    }

    /// How long the start and any other call may take, in milliseconds.
    pub fn deadlines(mut self, start: u64, call: u64) -> Self {
        self.settings.deadlines = Deadlines {
            start: Duration::from_millis(start),
            configure: Duration::from_millis(start),
            call: Duration::from_millis(call),
        };
        self
    }

    /// Refuses local responses that would reach nobody.
    pub fn strict_local_responses(mut self) -> Self {
        self.settings.strict_local_responses = true;
        self
    }

    /// Bounds of memory (bytes) and tables (elements).
    pub fn limits(mut self, memory_bytes: usize, table_elements: usize) -> Self {
        self.settings.limits = Limits { memory_bytes, table_elements };
        self
    }

    /// Bounds of callouts: under way at once, and bytes of requests and replies.
    pub fn call_limits(mut self, calls: usize, bytes: usize) -> Self {
        self.settings.calls = CallLimits { calls, bytes };
        self
    }

    /// Bound of what plugins of the VM id share.
    pub fn shared_bytes(mut self, bytes: usize) -> Self {
        self.settings.shared_bytes = bytes;
        self
    }

    /// Bound of lines that are logged a second.
    pub fn log_lines_per_second(mut self, lines: u32) -> Self {
        self.settings.log_limit = LogLimit::new(lines);
        self
    }

    /// A process that makes no calls, as with Envoy 1.37.
    pub fn without_process_calls(mut self) -> Self {
        self.services.is_without_calls = true;
        self
    }

    /// The lowest level that is logged.
    pub fn log_level(mut self, level: Level) -> Self {
        self.services.level = Some(level);
        self
    }

    /// The whole module as text.
    fn wat(&self) -> String {
        let exports: String = self.exports.iter().map(|(_, function)| function.as_str()).collect();
        let functions = format!(
            "{} {} {} {VOICE} {exports}",
            if self.abi.is_empty() {
                String::new()
            } else {
                format!("(func (export \"proxy_abi_version_{}\"))", self.abi)
            },
            if self.has_allocator { ALLOCATOR } else { "" },
            self.functions,
        );
        let (functions, texts) = place_texts(&functions);
        let imports: String = hostcalls().filter(|row| names(&functions, row.name)).map(import_of).collect();
        format!("(module {imports} {} {} {functions} {texts})", self.imports, self.memory)
    }

    /// The bytes that a user would configure.
    pub fn wasm(&self) -> Vec<u8> {
        let text = self.wat();
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// Compiles and links, in a process of its own.
    pub fn link(mut self) -> Result<Linked, LinkError> {
        let commons = Commons::new(Arc::new(std::mem::take(&mut self.services)));
        self.link_in(&commons)
    }

    /// Compiles and links, in the process of another.
    pub fn link_in(self, commons: &Arc<Commons<FakeStream>>) -> Result<Linked, LinkError> {
        let code = Code::compile(&ENGINE, &Wasm::new(self.wasm()), Effort::FULL, None).unwrap();
        let template = Template::link(&ENGINE, &code, self.settings, commons)?;
        Ok(Linked { template, plugin: Arc::new(self.plugin), services: Arc::clone(&commons.services) })
    }

    /// Starts the code, without a plugin in it.
    pub fn boot(self) -> Result<Running, StartError> {
        let Linked { template, plugin, services } = self.link().unwrap();
        Ok(Running { vm: Vm::start(&template)?, plugin, services })
    }

    /// Starts the code and configures the plugin.
    pub fn try_start(self) -> Result<Running, StartError> {
        let mut running = self.boot()?;
        running.vm.create_root(&running.plugin)?;
        Ok(running)
    }

    /// The same for a guest that must start.
    pub fn start(self) -> Running {
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Code that fits, with the plugin and the process that were prepared for it.
pub struct Linked {
    pub template: Template<FakeStream>,
    pub plugin: Arc<Plugin>,
    pub services: Arc<FakeServices>,
}

/// A VM with its process, and most often its plugin.
pub struct Running {
    pub vm: Vm<FakeStream>,
    pub plugin: Arc<Plugin>,
    pub services: Arc<FakeServices>,
}

impl Running {
    /// The root of the plugin that the guest was made for.
    pub fn root(&self) -> RootIndex {
        self.vm.root(self.plugin.key).unwrap()
    }

    /// A stream of that plugin.
    pub fn open(&mut self, stream: FakeStream) -> StreamIndex {
        self.vm.create_stream(self.root(), stream).unwrap()
    }

    /// Another plugin in the same VM.
    pub fn add(&mut self, plugin: Plugin) -> Result<RootIndex, StartError> {
        self.vm.create_root(&Arc::new(plugin))
    }

    /// What guests said since the last time, without `wasm log …:`.
    pub fn said(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.services.lines.lock());
        lines.into_iter().map(|(_, line)| line.split_once(": ").unwrap().1.to_owned()).collect()
    }

    /// Request headers arrive, and are the whole request.
    pub fn request_headers(&mut self, stream: StreamIndex) -> Result<HeadersAction, CallError> {
        self.vm.on_headers(stream, Direction::Request, true)
    }

    /// A chunk of the request body arrives, not the last.
    pub fn request_body(&mut self, stream: StreamIndex) -> Result<BodyAction, CallError> {
        self.vm.on_body(stream, Direction::Request, false)
    }

    /// Request trailers arrive.
    pub fn request_trailers(&mut self, stream: StreamIndex) -> Result<TrailersAction, CallError> {
        self.vm.on_trailers(stream, Direction::Request)
    }

    /// Response headers arrive, and a body will follow.
    pub fn response_headers(&mut self, stream: StreamIndex) -> Result<HeadersAction, CallError> {
        self.vm.on_headers(stream, Direction::Response, false)
    }

    /// The proxy's side of a stream, as the guest left it.
    pub fn stream(&mut self, stream: StreamIndex) -> &mut FakeStream {
        &mut self.vm.stream_mut(stream).unwrap().stream
    }

    /// What the guest asked for.
    pub fn effects(&mut self, stream: StreamIndex) -> Vec<Effect> {
        self.vm.take_effects(stream).into_vec()
    }
}

/// An exchange that has everything: all maps, both bodies (with bytes held back), a property.
pub fn exchange() -> FakeStream {
    FakeStream {
        request_headers: pairs(&[
            (":method", "POST"),
            (":path", "/a"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("x-empty", ""),
        ]),
        request_trailers: pairs(&[("t", "3")]),
        response_headers: pairs(&[(":status", "200"), ("x-r", "4")]),
        response_trailers: pairs(&[("u", "5")]),
        request_body: (b"held ".to_vec(), b"chunk".to_vec()),
        response_body: (b"kept ".to_vec(), b"piece".to_vec()),
        properties: [(b"request\0path".to_vec(), b"/a".to_vec())].into(),
        ..FakeStream::default()
    }
}

/// A plugin with a key, a name and a configuration.
pub fn plugin(key: u64, name: &str, configuration: &[u8]) -> Plugin {
    Plugin {
        key,
        name: name.to_owned(),
        root_id: String::new(),
        configuration: configuration.to_vec(),
        allow_on_headers_stop_iteration: false,
    }
}

/// Every row of the host's table.
pub fn hostcalls() -> impl Iterator<Item = &'static Hostcall> {
    [ALL, V0_1_0, SINCE_V0_2_0, SINCE_V0_2_1].into_iter().flatten()
}

/// The WAT type of a hostcall's parameter: two metrics take a long value, all else is 32 bits.
pub fn type_of(hostcall: &str, parameter: usize) -> &'static str {
    match (hostcall, parameter) {
        ("proxy_increment_metric" | "proxy_record_metric", 1) => "i64",
        _ => "i32",
    }
}

/// A call with constants that says what it answers.
pub fn say(hostcall: &str, arguments: &[i64]) -> String {
    format!("(call $say {})", call(hostcall, arguments))
}

/// A call with constants.
pub fn call(hostcall: &str, arguments: &[i64]) -> String {
    let constants: String = arguments
        .iter()
        .enumerate()
        .map(|(number, argument)| format!(" ({}.const {argument})", type_of(hostcall, number)))
        .collect();
    format!("(call ${hostcall}{constants})")
}

fn import_of(row: &Hostcall) -> String {
    let types: String = (0..row.parameters).map(|number| format!(" {}", type_of(row.name, number))).collect();
    format!("(import \"env\" \"{0}\" (func ${0} (param{types}) (result i32)))", row.name)
}

/// Whether a text names `$name`, and not only a longer name that begins like it.
fn names(text: &str, name: &str) -> bool {
    text.match_indices(&format!("${name}")).any(|(at, found)| {
        !text[at + found.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_')
    })
}

/// Turns each `(text "…")` into an address and a length, and gives the data segments.
fn place_texts(source: &str) -> (String, String) {
    const OPEN: &str = "(text \"";
    let (mut placed, mut segments, mut rest, mut address) = (String::new(), String::new(), source, TEXTS);
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (literal, after) = after.split_once("\")").unwrap();
        let length = literal_len(literal);
        placed += &format!("{before}(i32.const {address}) (i32.const {length})");
        segments += &format!("(data (i32.const {address}) \"{literal}\")");
        address += length;
        rest = after;
    }
    (placed + rest, segments)
}

/// The bytes of a WAT string: `\00` is one, `\n` is one.
fn literal_len(literal: &str) -> usize {
    let (mut bytes, mut length) = (literal.bytes(), 0);
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && bytes.next().unwrap().is_ascii_hexdigit() {
            bytes.next();
        }
        length += 1;
    }
    length
}
