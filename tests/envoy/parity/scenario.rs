//! What runs on both sides: plugins, their configurations, scripts of requests.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::config::string_value;
use crate::harness::guests::Guests;
use crate::harness::tcp::Say;
use crate::harness::{Answer, Plugin, Request, files};

/// Where a scenario's plugin comes from.
#[derive(Clone, Copy, Debug)]
pub enum Code {
    /// A plugin of this repository, by the name that `make plugins` gives it.
    Built(&'static str),
    /// A guest as text; see [`Guests::add`].
    Text(&'static str),
}

/// What of Envoy's a plugin is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    Http,
    AccessLog,
    /// The same plugin as both, so that they share a root context.
    HttpAndAccessLog,
    /// TCP connections.
    Tcp,
}

/// One exchange: how the upstream will answer, and what the client sends.
#[derive(Clone, Debug)]
pub struct Step {
    pub request: Request,
    pub answer: Answer,
    /// What to send while the request is held, once the plugin has logged a text.
    pub meanwhile: Option<(&'static str, Request)>,
    /// What the plugin logs when all that the exchange began is over, if that is after the exchange.
    pub until: Option<&'static str>,
}

/// A configured plugin with a listener of its own, and what is sent to it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Also the name of the plugin.
    pub name: String,
    configuration: String,
    pub steps: Vec<Step>,
    /// Conversations on TCP connections.
    pub talks: Vec<&'static [Say]>,
}

/// One plugin in some configurations. All cases share an Envoy, and, as a plugin's users are used to, their
/// VM.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is a choice of its own.
pub struct Scenario {
    /// One line for the report: what is compared.
    pub about: &'static str,
    pub code: Code,
    /// Fields of the `PluginConfig` of every case, by path.
    settings: Vec<(&'static str, Value)>,
    is_isolated: bool,
    pub attached: Attached,
    pub buffer_limit: Option<u32>,
    /// Whether the upstream speaks HTTP/2.
    pub http2_upstream: bool,
    /// Whether there are upstreams for callouts: the clusters `callout`, `grpc` and `nobody`.
    pub callouts: bool,
    /// Whether the order counts only among the lines of one place, because VMs do their work side by side.
    pub by_place: bool,
    /// What plugins log when all that their start began is over, if that is after the start.
    pub settled: Vec<&'static str>,
    pub cases: Vec<Case>,
}

/// A scenario of the scripted plugin `hostcalls`, whose configuration says, line by line, what it does in
/// which callback.
pub fn scripts(about: &'static str) -> Scenario {
    Scenario::new(about, Code::Built("hostcalls"))
}

/// A scenario with one script.
pub fn script(about: &'static str, lines: &str) -> Scenario {
    scripts(about).case("plugin", lines)
}

impl Scenario {
    pub fn new(about: &'static str, code: Code) -> Self {
        Self {
            about,
            code,
            settings: Vec::new(),
            is_isolated: false,
            attached: Attached::Http,
            buffer_limit: None,
            http2_upstream: false,
            callouts: false,
            by_place: false,
            settled: Vec::new(),
            cases: Vec::new(),
        }
    }

    /// Adds a case; the steps that follow are its steps. White space around lines is of no account.
    pub fn case(mut self, name: &str, configuration: &str) -> Self {
        let lines: Vec<_> = configuration.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        self.cases.push(Case {
            name: name.to_owned(),
            configuration: lines.join("\n"),
            steps: Vec::new(),
            talks: Vec::new(),
        });
        self
    }

    /// Makes a script the VM's configuration, so that it is known in `on_vm_start` as well.
    pub fn everywhere(self, lines: &str) -> Self {
        self.set("vm_config.configuration", string_value(lines))
    }

    /// Sets a field of the `PluginConfig`.
    pub fn set(mut self, path: &'static str, value: impl Into<Value>) -> Self {
        self.settings.push((path, value.into()));
        self
    }

    /// Gives each case a VM of its own, because it breaks it.
    pub fn isolated(mut self) -> Self {
        self.is_isolated = true;
        self
    }

    pub fn attached(mut self, attached: Attached) -> Self {
        self.attached = attached;
        self
    }

    pub fn buffer_limit(mut self, bytes: u32) -> Self {
        self.buffer_limit = Some(bytes);
        self
    }

    /// Compares the log of each VM's root contexts and streams by itself: VMs do their work side by side.
    pub fn by_place(mut self) -> Self {
        self.by_place = true;
        self
    }

    /// Adds the upstreams for callouts. Streams that wait for them may be silent for longer.
    pub fn callouts(mut self) -> Self {
        self.callouts = true;
        self
    }

    pub fn http2_upstream(mut self) -> Self {
        self.http2_upstream = true;
        self
    }

    /// Adds an exchange to the last case.
    pub fn step(self, request: Request, answer: Answer) -> Self {
        self.push(Step { request, answer, meanwhile: None, until: None })
    }

    /// Adds an exchange whose stream is held; when the plugin has logged `text`, `then` is sent beside it.
    pub fn held_until(self, text: &'static str, request: Request, answer: Answer, then: Request) -> Self {
        self.push(Step { request, answer, meanwhile: Some((text, then)), until: None })
    }

    /// Ends the last exchange only when the plugin has logged a line with `text`.
    pub fn until(mut self, text: &'static str) -> Self {
        let step = self.cases.last_mut().and_then(|case| case.steps.last_mut());
        step.expect("an exchange that goes on").until = Some(text);
        self
    }

    /// Begins the first exchange only when plugins have logged a line with `text`. What they logged before,
    /// and lines equal to it, are compared as a set.
    pub fn settled(mut self, text: &'static str) -> Self {
        self.settled.push(text);
        self
    }

    /// Adds a conversation on a TCP connection to the last case.
    pub fn talk(mut self, script: &'static [Say]) -> Self {
        self.cases.last_mut().expect("a case to add a conversation to").talks.push(script);
        self
    }

    fn push(mut self, step: Step) -> Self {
        self.cases.last_mut().expect("a case to add a step to").steps.push(step);
        self
    }

    /// Adds `GET path`, answered with a short body.
    pub fn get(self, path: &str) -> Self {
        self.step(Request::get(path), Answer::ok(&[b"from the upstream"]))
    }

    /// Adds an exchange with headers, two chunks and trailers in both directions: every callback of a stream.
    pub fn everything(self) -> Self {
        let request = Request::post("/everything?x=1", &[b"request one, ", b"request two"])
            .header("x-request", "request value")
            .trailers(&[("x-request-trailer", "request trailer value")]);
        let answer = Answer::ok(&[b"answer one, ", b"answer two"])
            .header("x-response", "response value")
            .trailers(&[("x-response-trailer", "response trailer value")]);
        self.step(request, answer)
    }

    /// Adds two chunks in both directions, without trailers.
    pub fn two_chunks(self) -> Self {
        self.step(
            Request::post("/two-chunks", &[b"request one, ", b"request two"]),
            Answer::ok(&[b"answer one, ", b"answer two"]),
        )
    }

    /// The code's file.
    pub fn code(&self, guests: &Guests) -> PathBuf {
        match self.code {
            Code::Built(name) => files::plugin(name),
            Code::Text(text) => guests.add("guest", text),
        }
    }

    /// The plugin of a case, as it runs on both sides.
    pub fn plugin(&self, case: &Case, code: &std::path::Path) -> Plugin {
        let mut plugin = Plugin::new(&case.name, code).configuration(&case.configuration);
        if self.is_isolated {
            plugin = plugin.set("vm_config.vm_id", case.name.as_str());
        }
        for (path, value) in &self.settings {
            plugin = plugin.set(path, value.clone());
        }
        plugin
    }
}
