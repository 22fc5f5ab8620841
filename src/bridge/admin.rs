//! Pages of Graft's on Envoy's admin endpoint: what is loaded, and commands.
//!
//! | page | |
//! | --- | --- |
//! | `GET /graft` | the state of every plugin, for people ([`text`]); with `?format=json` for programs ([`json`]) |
//! | `POST /graft/reload`, `/graft/promote`, `/graft/rollback` | a command for the plugins of a name |
//!
//! All of it runs on Envoy's main thread and waits for nothing: the state is looked at as it is
//! ([`lifecycle::slot::status`](crate::lifecycle::slot::status)), and commands are left to the loader. Envoy serves what
//! is answered as `text/plain` with `nosniff`, so no name of a plugin becomes markup in a browser.

mod json;
mod request;
mod text;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use self::request::Target;
use super::metrics::Totals;
use crate::abi::BootstrapHandle;
use crate::host::stream::Stream;
use crate::lifecycle::registry::{Registry, Use};
use crate::lifecycle::slot::status::Status;
use crate::lifecycle::slot::{Command, Slot};
use crate::telemetry::{self, Level};

/// A page.
struct Page {
    path: &'static str,
    help: &'static str,
    does: Does,
}

/// What it does.
#[derive(Clone, Copy)]
enum Does {
    Show,
    Command(Command, &'static str),
}

/// What Envoy lists under `/`.
const PAGES: [Page; 4] = [
    Page {
        path: "/graft",
        help: "Graft's plugins: generations, state, VMs, last error (format=json, plugin=NAME)",
        does: Does::Show,
    },
    Page {
        path: "/graft/reload",
        help: "look at the source of a plugin now and load what is there (plugin=NAME)",
        does: Does::Command(Command::Reload, "reload"),
    },
    Page {
        path: "/graft/promote",
        help: "give the generation of a plugin that is on trial all new streams (plugin=NAME)",
        does: Does::Command(Command::Promote, "promote"),
    },
    Page {
        path: "/graft/rollback",
        help: "give the generation of a plugin that is on trial no more streams, or go back to the one before (plugin=NAME)",
        does: Does::Command(Command::Rollback, "rollback"),
    },
];

impl Page {
    fn is_command(&self) -> bool {
        match self.does {
            Does::Show => false,
            Does::Command(..) => true,
        }
    }
}

/// The pages of one extension. Main thread.
#[derive(Debug)]
pub(super) struct Pages {
    envoy: BootstrapHandle,
    added: Vec<&'static str>,
}

impl Pages {
    /// Adds the pages, if they are wanted and this Envoy has a place for them.
    pub(super) fn open(envoy: BootstrapHandle, are_wanted: bool) -> Self {
        let mut added = Vec::new();
        if are_wanted {
            let mut add = |page: &Page| {
                if envoy.add_admin_page(page.path, page.help, page.is_command()) {
                    added.push(page.path);
                }
            };
            PAGES.iter().for_each(&mut add);
            if added.is_empty() {
                let why =
                    "this Envoy has no admin endpoint for extensions, or another extension has added them";
                telemetry::log(Level::Info, format_args!("graft: no pages under /graft: {why}"));
            }
        }
        Self { envoy, added }
    }

    /// Takes them away, while Envoy is whole: as long as it has one it keeps the extension.
    pub(super) fn close(&self) {
        for path in &self.added {
            self.envoy.remove_admin_page(path);
        }
    }
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Of HTTP.
    pub(super) status: u32,
    /// Text, whose last line has an end.
    pub(super) body: String,
}

impl Answer {
    fn new(status: u32, body: impl Into<String>) -> Self {
        Self { status, body: body.into() }
    }
}

/// The state of everything, at a moment.
struct Picture {
    /// Envoy waits for plugins before it serves.
    is_starting: bool,
    plugins: Vec<(Status, Totals)>,
}

/// What is asked, and where answers come from.
pub(super) struct Desk<'a, S: Stream> {
    pub(super) registry: &'a Registry<S>,
    /// What was counted under the name of a plugin.
    pub(super) totals: &'a dyn Fn(&str) -> Totals,
    pub(super) is_starting: bool,
}

impl<S: Stream> Desk<'_, S> {
    /// Answers a request. `method` and `target` are those of its head.
    pub(super) fn answer(&self, method: &[u8], target: &[u8]) -> Answer {
        let target = Target::parse(target);
        let Some(page) = PAGES.iter().find(|page| page.path == target.path) else {
            return Answer::new(404, "there is no such page\n");
        };
        match page.does {
            Does::Show => self.show(&target),
            Does::Command(..) if method != b"POST" => Answer::new(405, "expected POST\n"),
            Does::Command(command, name) => self.follow(page.path, command, name, &target),
        }
    }

    fn show(&self, target: &Target) -> Answer {
        let render = match target.parameter("format") {
            None | Some("text") => text::render,
            Some("json") => json::render,
            Some(other) => {
                let other = text::plain(other);
                return Answer::new(400, format!("format: \"{other}\", expected text or json\n"));
            }
        };
        let slots = match target.parameter("plugin") {
            None => self.registry.slots(),
            Some(name) => match self.slots_of(name) {
                Ok(slots) => slots,
                Err(unknown) => return unknown,
            },
        };
        let describe = |slot: &Arc<Slot<S>>| (slot.status(), (self.totals)(&slot.config().name));
        let plugins = slots.iter().map(describe).collect();
        Answer::new(200, render(&Picture { is_starting: self.is_starting, plugins }))
    }

    fn follow(&self, path: &str, command: Command, name: &str, target: &Target) -> Answer {
        let Some(plugin) = target.parameter("plugin").filter(|plugin| !plugin.is_empty()) else {
            let line = format!("plugin: missing, expected the name of a plugin, as in {path}?plugin=NAME\n");
            return Answer::new(400, line);
        };
        let slots = match self.slots_of(plugin) {
            Ok(slots) => slots,
            Err(unknown) => return unknown,
        };
        let (mut lines, mut status) = (String::new(), 409);
        for slot in &slots {
            let config = slot.config();
            let plugin = text::plain(&config.name);
            let (what, source) = (use_of(slot.purpose()), text::plain(&config.vm.code.to_string()));
            let told = match self.registry.command(slot, command) {
                Ok(()) => {
                    status = 200;
                    telemetry::log_plugin(
                        Level::Info,
                        &config.name,
                        format_args!("{name} asked for at {path}"),
                    );
                    format!("{name} asked for")
                }
                Err(refused) => refused.to_string(),
            };
            // Writing to a string cannot fail.
            let _written = writeln!(lines, "\"{plugin}\" ({what}, {source}): {told}");
        }
        Answer::new(status, lines)
    }

    /// The slots of a name, of which there is at least one.
    fn slots_of(&self, name: &str) -> Result<Vec<Arc<Slot<S>>>, Answer> {
        let all = self.registry.slots();
        let (found, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|slot| slot.config().name == name);
        if !found.is_empty() {
            return Ok(found);
        }
        let names: BTreeSet<&str> = others.iter().map(|slot| slot.config().name.as_str()).collect();
        let names: Vec<String> = names.iter().map(|name| format!("\"{}\"", text::plain(name))).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let name = text::plain(name);
        Err(Answer::new(404, format!("plugin: \"{name}\", expected one of those that there are: {there}\n")))
    }
}

/// What a plugin is loaded for, in the words of the pages.
fn use_of(purpose: Use) -> &'static str {
    match purpose {
        Use::Filter => "filter",
        Use::Service => "service",
        Use::Singleton => "singleton",
    }
}

#[cfg(test)]
mod tests;
