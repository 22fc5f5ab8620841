//! Lives of VMs with the guest of [`hostile`](crate::hostile): roots and streams come and go in any order, and after
//! each step the VM is usable or has failed properly.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use graft::host::calls::{Command, Reply, Token};
use graft::host::contexts::{RootIndex, StreamIndex};
use graft::host::stream::Effect;
use graft::host::testing::{FakeStream, Pairs};
use graft::host::types::Direction;
use graft::host::vm::{CallError, StartError, Vm};

use crate::guest::{Guest, Linked, Running, exchange, plugin};
use crate::numbers::Numbers;
use crate::{for_a_while, hostile};

/// Memory that a VM may have, in bytes.
const MEMORY_LIMIT: usize = 8 * 65_536;

/// A stream in a root's care.
struct Open {
    stream: StreamIndex,
    root: RootIndex,
}

/// A VM on its way through a case.
struct Life<'a> {
    numbers: &'a mut Numbers,
    vm: Vm<FakeStream>,
    linked: &'a Linked,
    roots: Vec<RootIndex>,
    open: Vec<Open>,
    next_key: u64,
    /// Of calls that the process was asked for.
    tokens: Vec<Token>,
    seen: &'a mut Seen,
}

/// What happened in all cases. Were one of these never seen, the cases would not reach what they are for.
#[derive(Debug, Default)]
struct Seen {
    traps: u64,
    refusals: u64,
    late: u64,
    effects: u64,
    changed_streams: u64,
    metrics: u64,
    lines: u64,
    grown: u64,
    calls: u64,
    told: u64,
}

/// Part of a reply with anything in it.
fn reply(numbers: &mut Numbers) -> Reply {
    match numbers.below(7) {
        0 => Reply::Http {
            headers: map(numbers).unwrap_or_default(),
            body: numbers.bytes(40),
            trailers: map(numbers).unwrap_or_default(),
        },
        1 => Reply::HttpFailed,
        2 => Reply::GrpcInitial(map(numbers).unwrap_or_default()),
        3 => Reply::GrpcMessage(numbers.bytes(40)),
        4 => Reply::GrpcTrailing(map(numbers).unwrap_or_default()),
        5 => Reply::Addresses(numbers.bytes(40)),
        _ => Reply::GrpcClose(u32::try_from(numbers.below(20)).unwrap(), numbers.bytes(20)),
    }
}

fn map(numbers: &mut Numbers) -> Pairs {
    if numbers.one_in(4) {
        return None;
    }
    let count = numbers.below(5);
    Some((0..count).map(|_| (numbers.bytes(6), numbers.bytes(20))).collect())
}

/// A stream with anything in it.
fn stream(numbers: &mut Numbers) -> FakeStream {
    if numbers.one_in(3) {
        return exchange();
    }
    FakeStream {
        is_wakeable: numbers.one_in(2),
        request_headers: map(numbers),
        request_trailers: map(numbers),
        response_headers: map(numbers),
        response_trailers: map(numbers),
        request_body: (numbers.bytes(40), numbers.bytes(40)),
        response_body: (numbers.bytes(40), numbers.bytes(40)),
        properties: [(b"x-a".to_vec(), numbers.bytes(100))].into(),
        ..FakeStream::default()
    }
}

impl Life<'_> {
    /// One thing that a proxy does.
    fn step(&mut self) {
        match self.numbers.below(16) {
            0 => self.add_root(),
            1 | 2 => self.add_stream(),
            3 => self.end_stream(),
            4 if self.numbers.one_in(4) => self.retire_root(),
            5..8 => self.tell(),
            _ => self.enter(),
        }
        self.check();
    }

    fn add_root(&mut self) {
        if self.roots.len() > 4 {
            return;
        }
        let configuration = self.numbers.bytes(50);
        let result = self.vm.create_root(&Arc::new(plugin(self.next_key, "fuzz", &configuration)));
        self.next_key += 1;
        match result {
            Ok(root) => self.roots.push(root),
            Err(StartError::Trapped(error)) => self.failed(&error),
            Err(StartError::VmStartRefused | StartError::ConfigureRefused) => {
                assert!(!self.vm.has_failed());
                self.seen.refusals += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn add_stream(&mut self) {
        if self.roots.is_empty() || self.open.len() > 6 {
            return;
        }
        let root = *self.numbers.pick(&self.roots);
        match self.vm.create_stream(root, stream(self.numbers)) {
            Ok(stream) => self.open.push(Open { stream, root }),
            Err(error) => self.failed(&error),
        }
    }

    fn end_stream(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let index = self.numbers.below(self.open.len());
        let Open { stream, .. } = self.open.swap_remove(index);
        self.vm.end_stream(stream);
        assert!(self.vm.stream_mut(stream).is_none());
    }

    fn retire_root(&mut self) {
        // A VM that lost all its roots is no longer interesting.
        if self.roots.len() > 1 {
            let index = self.numbers.below(self.roots.len());
            let root = self.roots.swap_remove(index);
            self.vm.retire_root(root);
        }
    }

    /// Enters the guest for a stream.
    fn enter(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let stream = self.numbers.pick(&self.open).stream;
        let direction = *self.numbers.pick(&[Direction::Request, Direction::Response]);
        let before = self.vm.stream_mut(stream).unwrap().stream.clone();
        let end = self.numbers.one_in(2);
        let result = match self.numbers.below(4) {
            0 => self.vm.on_headers(stream, direction, end).map(drop),
            1 => self.vm.on_body(stream, direction, end).map(drop),
            2 => self.vm.on_trailers(stream, direction).map(drop),
            _ => self.vm.on_log(stream),
        };
        let after = &self.vm.stream_mut(stream).unwrap().stream;
        self.seen.changed_streams += u64::from(*after != before);
        if let Err(error) = result {
            self.failed(&error);
        }
        let effects = self.vm.take_effects(stream);
        self.seen.effects += u64::try_from(effects.len()).unwrap();
        assert!(effects.len() <= 16);
        let answers = effects.iter().filter(|effect| matches!(effect, Effect::LocalResponse(_))).count();
        assert!(answers <= 1);
    }

    /// Something comes that needs no stream: a tick, a message, part of a reply to a call that may be under way or not.
    fn tell(&mut self) {
        let root = u32::try_from(self.numbers.below(12)).unwrap();
        let token = if self.tokens.is_empty() || self.numbers.one_in(4) {
            Token(u32::try_from(self.numbers.below(40)).unwrap())
        } else {
            *self.numbers.pick(&self.tokens)
        };
        match self.numbers.below(4) {
            0 => self.vm.on_tick(root),
            1 => {
                let _is_told = self.vm.on_queue_ready(root, token.0);
            }
            _ => {
                let reply = reply(self.numbers);
                self.vm.on_reply(token, reply);
            }
        }
        for open in &self.open {
            for (token, reply) in self.vm.take_replies(open.stream) {
                self.seen.told += u64::from(self.vm.deliver(token, reply).is_ok());
            }
            let commands = self.vm.take_commands(open.stream);
            self.vm.hand_over(commands);
        }
        self.vm.pass_on();
        let commands = std::mem::take(&mut *self.linked.services.commands.lock());
        let started = commands.into_iter().filter_map(|(_, command)| match command {
            Command::Start(request) => Some(request.token),
            Command::Resolve(lookup) => Some(lookup.token),
            Command::Adopt(..) | Command::Send(..) | Command::Cancel(_) => None,
        });
        let before = self.tokens.len();
        self.tokens.extend(started);
        let calls = self.tokens.len() - before;
        assert!(calls <= 100, "as many as may be under way");
        self.seen.calls += u64::try_from(calls).unwrap();
    }

    /// A call failed: the VM is dead, and says so.
    fn failed(&mut self, error: &CallError) {
        assert!(self.vm.has_failed(), "{error}");
        if let CallError::Trapped { reason, .. } = error {
            assert!(!reason.is_empty());
            self.seen.traps += 1;
            self.seen.late += u64::from(reason.starts_with("did not return within"));
            self.vm.log_failure(error);
        }
    }

    /// What holds after every step.
    fn check(&mut self) {
        assert!(self.vm.memory_bytes() <= MEMORY_LIMIT);
        self.seen.grown += u64::from(self.vm.memory_bytes() > 2 * 65_536);
        self.seen.lines +=
            u64::try_from(std::mem::take(&mut *self.linked.services.lines.lock()).len()).unwrap();
        self.seen.metrics = self.seen.metrics.max(u64::try_from(self.vm.metrics().count()).unwrap());
        if self.vm.has_failed() {
            let root = self.open.first().map(|open| open.root);
            for open in &self.open {
                assert_eq!(self.vm.on_log(open.stream), Err(CallError::VmFailed));
            }
            if let Some(root) = root {
                assert_eq!(self.vm.create_stream(root, FakeStream::default()), Err(CallError::VmFailed));
            }
        }
    }

    /// Everything ends, as when a proxy drains.
    fn end(mut self) {
        while !self.open.is_empty() {
            self.end_stream();
        }
        for root in std::mem::take(&mut self.roots) {
            self.vm.retire_root(root);
        }
        self.check();
    }
}

/// A well-behaved plugin that lives through all cases.
struct Bystander {
    running: Running,
    stream: StreamIndex,
}

impl Bystander {
    fn new() -> Self {
        let mut running = Guest::new()
            .on(
                "proxy_on_request_headers",
                r#"(drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))
                   (call $show (i32.const 8))
                   (i32.store (i32.const 32) (i32.add (i32.load (i32.const 32)) (i32.const 1)))
                   (call $say (i32.load (i32.const 32)))"#,
            )
            .start();
        let stream = running.open(exchange());
        Self { running, stream }
    }

    fn check(&mut self, times: u64) {
        self.running.request_headers(self.stream).unwrap();
        assert_eq!(self.running.said(), ["/a".to_owned(), times.to_string()]);
        assert_eq!(*self.running.stream(self.stream), exchange());
    }
}

#[test]
fn hostile_guests_harm_themselves_alone() {
    let linked = ["0_1_0", "0_2_0", "0_2_1"].map(|abi| {
        let guest = hostile::guest(abi).limits(MEMORY_LIMIT, 100).deadlines(30, 30).vm_configuration("fuzz");
        guest.environment(&[("KEY", "value")]).link().unwrap()
    });
    let mut bystander = Bystander::new();
    let mut seen = Seen::default();
    let mut checks = 0;
    let cases = for_a_while("hostile_guests", |numbers| {
        let linked = numbers.pick(&linked);
        linked.services.now.store(numbers.any(), Ordering::Relaxed);
        let vm = match Vm::start(&linked.template) {
            Ok(vm) => vm,
            // The machine was busy.
            Err(error) if error.to_string().contains("did not return within") => return,
            Err(error) => panic!("it is well behaved until it is configured: {error}"),
        };
        let mut life = Life {
            numbers: &mut *numbers,
            vm,
            linked,
            roots: Vec::new(),
            open: Vec::new(),
            next_key: 1,
            tokens: Vec::new(),
            seen: &mut seen,
        };
        life.add_root();
        let steps = life.numbers.below(60);
        for _ in 0..steps {
            life.step();
            if life.vm.has_failed() && life.numbers.one_in(3) {
                break;
            }
        }
        life.end();
        linked.services.metrics.lock().clear();
        checks += 1;
        bystander.check(checks);
    });
    println!("hostile_guests: {seen:?}");
    // One case alone (FUZZ_SEED) need not see everything.
    if cases > 1000 {
        let Seen { traps, refusals, late, effects, changed_streams, metrics, lines, grown, calls, told } =
            seen;
        for (what, count) in [
            ("traps", traps),
            ("refusals", refusals),
            ("late returns", late),
            ("effects", effects),
            ("changed streams", changed_streams),
            ("metrics", metrics),
            ("lines", lines),
            ("grown memories", grown),
            ("calls", calls),
            ("replies on their stream's thread", told),
        ] {
            assert!(count > 0, "{cases} cases without {what}");
        }
    }
}
