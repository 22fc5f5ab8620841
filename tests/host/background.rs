//! A VM where no stream is at hand: its lease, the agenda under a clock that a test moves, and what reached the process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use graft::host::agenda::Event;
use graft::host::calls::{Command, Exchange, Incoming, Reply, Request, Token};
use graft::host::commons::Commons;
use graft::host::contexts::{Plugin, StreamIndex};
use graft::host::testing::{FakeServices, FakeStream};
use graft::host::vm::{Lease, Vm};

use crate::guest::{Guest, Linked};

/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// See the module's text.
pub struct Background {
    pub lease: Lease<FakeStream>,
    pub commons: Arc<Commons<FakeStream>>,
    pub services: Arc<FakeServices>,
    pub plugin: Arc<Plugin>,
}

impl Background {
    /// Starts a guest with its plugin and lets threads in.
    pub fn new(guest: Guest) -> Self {
        Self::of(&guest.link().unwrap())
    }

    /// Starts another VM of code that was linked.
    pub fn of(linked: &Linked) -> Self {
        let mut vm = Vm::start(&linked.template).unwrap();
        vm.create_root(&linked.plugin).unwrap_or_else(|error| panic!("{error}"));
        Self {
            commons: vm.commons(),
            lease: Lease::new(vm, &Arc::default()),
            services: Arc::clone(&linked.services),
            plugin: Arc::clone(&linked.plugin),
        }
    }

    /// A stream of the plugin.
    pub fn open(&self, stream: FakeStream) -> StreamIndex {
        let mut vm = self.lease.lock();
        let root = vm.root(self.plugin.key).unwrap();
        vm.create_stream(root, stream).unwrap()
    }

    /// The plugin is gone.
    pub fn retire(&self) {
        let mut vm = self.lease.lock();
        let root = vm.root(self.plugin.key).unwrap();
        vm.retire_root(root);
    }

    /// It is so many milliseconds after the start, and the agenda is worked off; answers when the next tick is due.
    pub fn at(&self, milliseconds: u64) -> Option<u64> {
        let now = milliseconds * MILLISECOND;
        self.services.now.store(now, Ordering::Relaxed);
        self.commons.agenda.work(|| now).map(|due| due / MILLISECOND)
    }

    /// What guests said since the last time, without `wasm log …:`.
    pub fn said(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.services.lines.lock());
        lines.into_iter().map(|(_, line)| line.split_once(": ").unwrap().1.to_owned()).collect()
    }

    /// Commands that reached the process since the last time; all are this VM's.
    pub fn commands(&self) -> Vec<Command> {
        let commands = std::mem::take(&mut *self.services.commands.lock());
        let number = self.lease.lock().number();
        commands
            .into_iter()
            .map(|(vm, command)| {
                assert_eq!(vm, number);
                command
            })
            .collect()
    }

    /// The one call that reached the process since the last time.
    pub fn started(&self) -> Request {
        let mut commands = self.commands();
        let command = commands.pop();
        assert!(commands.is_empty(), "{commands:?}");
        let Some(Command::Start(request)) = command else { panic!("{command:?}") };
        *request
    }

    /// The process brings part of a reply, and the agenda is worked off.
    pub fn reply(&self, token: Token, reply: Reply) {
        self.commons.agenda.post(self.lease.lock().number(), Event::Reply(token, reply));
        self.commons.agenda.work(|| 0);
    }

    /// The proxy tells something of a call's exchange; what comes out is brought to the VM.
    pub fn feed(&self, exchange: &mut Exchange, incoming: Incoming<'_>) {
        for reply in exchange.feed(incoming).replies {
            self.reply(exchange.token(), reply);
        }
    }
}

/// The exchange of a request that the process has started.
pub fn exchange_of(mut request: Request) -> Exchange {
    Exchange::new(request.token, request.kind, request.take_held())
}

/// Pairs, as replies have them.
pub fn owned(list: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// Pairs as `(text …)` of their encoding.
pub fn pairs_text(list: &[(&str, &str)]) -> String {
    format!("(text \"{}\")", pairs_literal(list))
}

/// Pairs as a WAT string of their encoding: the number of pairs, all lengths, then names and values with a NUL each.
pub fn pairs_literal(list: &[(&str, &str)]) -> String {
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut bytes = word(list.len()).to_vec();
    for (name, value) in list {
        bytes.extend([word(name.len()), word(value.len())].concat());
    }
    for text in list.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend([text.as_bytes(), b"\0"].concat());
    }
    literal(&bytes)
}

/// Any bytes as a WAT string.
pub fn literal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}
