//! Calls that no stream has in hand: Envoy's calls of a filter configuration, on the main thread.
//!
//! Any configuration that lives can carry the calls of any plugin, since Envoy's clusters are the process's. Commands
//! come from any thread and wait in a queue until the main thread comes by; events go to the agenda. Nothing is
//! locked while Envoy is told something, because it can come back with the call's end.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::stream::{failed, refusal_of, tell_refusal, tell_unable};
use super::{feed, lent};
use crate::abi::{
    BootstrapHandle, CallEvent, CallRefusal, CallRequest, ConfigScheduler, HttpFilterConfigHandle,
    has_config_calls,
};
use crate::bridge::module;
use crate::host::agenda::Event;
use crate::host::calls::{Command, Exchange, Incoming, Kind, Reply, Request, Token};
use crate::telemetry::{self, Level};

/// A filter configuration that calls can be made on.
#[derive(Debug)]
pub(in crate::bridge) struct Carrier {
    caller: Caller,
    scheduler: ConfigScheduler,
    /// Calls under way here, by Envoy's number.
    calls: Mutex<HashMap<u64, (u64, Exchange)>>,
}

/// What Envoy makes the calls of.
#[derive(Debug)]
enum Caller {
    Filter(HttpFilterConfigHandle),
    /// Its calls have one answer, without trailers: HTTP only.
    Bootstrap(BootstrapHandle),
}

impl Caller {
    fn start(&self, request: &Request) -> Result<u64, CallRefusal> {
        let headers = lent(&request.headers);
        let call = CallRequest {
            cluster: request.cluster.as_bytes(),
            headers: &headers,
            body: &request.body,
            end_of_stream: request.is_complete && request.trailers.is_empty(),
            timeout: request.timeout_milliseconds(),
        };
        match self {
            Self::Filter(envoy) => envoy.start_call(&call),
            Self::Bootstrap(envoy) => envoy.start_call(&call),
        }
    }

    /// Whether this kind of call can be made here.
    fn can_make(&self, kind: Kind) -> bool {
        match self {
            Self::Filter(_) => true,
            Self::Bootstrap(_) => kind == Kind::Http,
        }
    }

    fn send(&self, number: u64, bytes: &[u8], end: bool) {
        if let Self::Filter(envoy) = self {
            envoy.send_call_data(number, bytes, end);
        }
    }

    fn send_trailers(&self, number: u64, trailers: &[(&[u8], &[u8])]) {
        if let Self::Filter(envoy) = self {
            envoy.send_call_trailers(number, trailers);
        }
    }

    fn reset(&self, number: u64) {
        // A call of the extension cannot be ended: its answer finds nobody.
        if let Self::Filter(envoy) = self {
            envoy.reset_call(number);
        }
    }
}

/// One per process; any thread.
#[derive(Debug, Default)]
pub struct ProcessCalls {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    carriers: Vec<Weak<Carrier>>,
    queue: VecDeque<(u64, Command)>,
    is_held: bool,
    /// Where a call of a VM is: who carries it, Envoy's number.
    places: HashMap<(u64, Token), (Weak<Carrier>, u64)>,
}

impl Carrier {
    /// A carrier for a configuration that has just been made, if this Envoy has such calls.
    pub(in crate::bridge) fn new(envoy: HttpFilterConfigHandle) -> Option<Arc<Self>> {
        if !has_config_calls() {
            return None;
        }
        let scheduler = envoy.scheduler()?;
        Some(Self::of(Caller::Filter(envoy), scheduler))
    }

    /// A carrier for a bootstrap extension, if this Envoy has such calls.
    pub(in crate::bridge) fn bootstrap(envoy: BootstrapHandle) -> Option<Arc<Self>> {
        let scheduler = envoy.scheduler()?;
        Some(Self::of(Caller::Bootstrap(envoy), scheduler))
    }

    fn of(caller: Caller, scheduler: ConfigScheduler) -> Arc<Self> {
        Arc::new(Self { caller, scheduler, calls: Mutex::default() })
    }
}

/// A configuration's part in calls, from the load of its plugin until Envoy gives it up. Main thread, but for its end.
#[derive(Debug)]
pub(in crate::bridge) struct Carrying(Option<Arc<Carrier>>);

impl Carrying {
    /// Nothing yet; and nothing at all where Envoy has no such calls.
    pub(in crate::bridge) fn new(carrier: Option<Arc<Carrier>>) -> Self {
        Self(carrier)
    }

    /// Before the plugin starts: it may call while it is configured.
    pub(in crate::bridge) fn begin(&self, calls: &ProcessCalls) {
        if let Some(carrier) = &self.0 {
            calls.add(carrier);
        }
    }

    /// Commands have come.
    pub(in crate::bridge) fn on_scheduled(&self) {
        self.with(ProcessCalls::on_scheduled);
    }

    /// Envoy tells something of a call.
    pub(in crate::bridge) fn on_event(&self, number: u64, event: &CallEvent<'_>) {
        self.with(|calls, carrier| calls.on_event(carrier, number, event));
    }

    /// Envoy's configuration is gone.
    pub(in crate::bridge) fn end(&self) {
        self.with(ProcessCalls::remove);
    }

    fn with(&self, body: impl FnOnce(&ProcessCalls, &Arc<Carrier>)) {
        if let (Some(carrier), Ok(module)) = (&self.0, module::module()) {
            body(&module.services.calls, carrier);
        }
    }
}

impl Drop for Carrying {
    /// One that was refused has no other end.
    fn drop(&mut self) {
        self.end();
    }
}

impl ProcessCalls {
    /// A configuration lives. With an extension, which Envoy tells when its clusters are ready, calls wait for that.
    fn add(&self, carrier: &Arc<Carrier>) {
        let mut inner = self.inner.lock();
        inner.carriers.retain(|carrier| carrier.strong_count() > 0);
        // A filter's calls can do more than an extension's, so they are asked first.
        let place = match carrier.caller {
            Caller::Filter(..) => 0,
            Caller::Bootstrap(..) => {
                inner.is_held = true;
                inner.carriers.len()
            }
        };
        inner.carriers.insert(place, Arc::downgrade(carrier));
    }

    /// Whether some configuration lives that calls can be made on.
    pub(super) fn has_carrier(&self) -> bool {
        self.inner.lock().carriers.iter().any(|carrier| carrier.strong_count() > 0)
    }

    /// Envoy's clusters are ready.
    pub(in crate::bridge) fn release(&self) {
        self.inner.lock().is_held = false;
        self.wake();
    }

    /// Envoy shuts down: calls under way are ended and none is started any more. Envoys to 1.40.0 abort when they give up a
    /// pool of connections in which a call of the main thread waits.
    pub(in crate::bridge) fn shut_down(&self) {
        let carriers: Vec<Arc<Carrier>> = {
            let mut inner = self.inner.lock();
            inner.is_held = true;
            inner.places.clear();
            inner.carriers.iter().filter_map(Weak::upgrade).collect()
        };
        for carrier in carriers {
            let calls = std::mem::take(&mut *carrier.calls.lock());
            for number in calls.into_keys() {
                carrier.caller.reset(number);
            }
        }
    }

    /// Takes commands; the main thread does them.
    pub(in crate::bridge) fn submit(&self, vm: u64, commands: Vec<Command>) {
        self.inner.lock().queue.extend(commands.into_iter().map(|command| (vm, command)));
        self.wake();
    }

    /// Has some configuration come by. Where there is none, what was to be called has failed.
    fn wake(&self) {
        let carriers: Vec<Arc<Carrier>> =
            self.inner.lock().carriers.iter().filter_map(Weak::upgrade).collect();
        if carriers.iter().any(|carrier| carrier.scheduler.commit(0)) {
            return;
        }
        let queue = std::mem::take(&mut self.inner.lock().queue);
        for (vm, command) in queue {
            if let Command::Start(request) = command {
                tell_no_carrier(&request.cluster);
                tell(vm, failed(request.token, request.kind, *request));
            }
        }
    }

    /// The main thread comes by, for a carrier: everything in the queue is done.
    fn on_scheduled(&self, carrier: &Arc<Carrier>) {
        loop {
            let next = {
                let mut inner = self.inner.lock();
                if inner.is_held { None } else { inner.queue.pop_front() }
            };
            let Some((vm, command)) = next else { return };
            match command {
                Command::Start(request) => self.start(carrier, vm, *request),
                Command::Send(token, outgoing, end) => {
                    if let Some((carrier, number)) = self.place(vm, token) {
                        carrier.caller.send(number, &outgoing.bytes, end);
                    }
                }
                Command::Cancel(token) => {
                    if let Some((carrier, number)) = self.place(vm, token) {
                        self.inner.lock().places.remove(&(vm, token));
                        carrier.calls.lock().remove(&number);
                        carrier.caller.reset(number);
                    }
                }
                // Only streams adopt, and lookups are not Envoy's.
                Command::Adopt(..) | Command::Resolve(_) => {}
            }
        }
    }

    fn place(&self, vm: u64, token: Token) -> Option<(Arc<Carrier>, u64)> {
        let inner = self.inner.lock();
        let (carrier, number) = inner.places.get(&(vm, token))?;
        Some((carrier.upgrade()?, *number))
    }

    /// The carrier for a call: a filter's where there is one, whoever has come by.
    fn best(&self, here: &Arc<Carrier>) -> Arc<Carrier> {
        let is_filter = |carrier: &Arc<Carrier>| matches!(carrier.caller, Caller::Filter(..));
        if is_filter(here) {
            return Arc::clone(here);
        }
        let inner = self.inner.lock();
        let mut carriers = inner.carriers.iter().filter_map(Weak::upgrade);
        carriers.find(is_filter).unwrap_or_else(|| Arc::clone(here))
    }

    fn start(&self, carrier: &Arc<Carrier>, vm: u64, mut request: Request) {
        let carrier = &self.best(carrier);
        if !carrier.caller.can_make(request.kind) {
            tell_unable(&request.cluster);
            return tell(vm, failed(request.token, request.kind, request));
        }
        let started = carrier.caller.start(&request);
        let token = request.token;
        match started {
            Ok(number) => {
                let exchange = Exchange::new(token, request.kind, request.take_held());
                carrier.calls.lock().insert(number, (vm, exchange));
                self.inner.lock().places.insert((vm, token), (Arc::downgrade(carrier), number));
                if request.is_complete && !request.trailers.is_empty() {
                    carrier.caller.send_trailers(number, &lent(&request.trailers));
                }
            }
            Err(refusal) => {
                tell_refusal(&request.cluster, refusal_of(refusal));
                tell(vm, failed(token, request.kind, request));
            }
        }
    }

    /// Envoy tells something of a call.
    fn on_event(&self, carrier: &Arc<Carrier>, number: u64, event: &CallEvent<'_>) {
        // Out of the table while it is fed: a reply is not copied under a lock.
        let Some((vm, mut exchange)) = carrier.calls.lock().remove(&number) else { return };
        let token = exchange.token();
        let fed = feed(&mut exchange, event);
        if fed.is_over {
            self.inner.lock().places.remove(&(vm, token));
        } else {
            carrier.calls.lock().insert(number, (vm, exchange));
        }
        tell(vm, fed.replies.into_iter().map(|reply| (token, reply)).collect());
        if fed.is_aborted {
            carrier.caller.reset(number);
        }
    }

    /// A configuration is gone, and its calls with it: they have failed. What waits in the queue goes to another.
    fn remove(&self, carrier: &Arc<Carrier>) {
        {
            let mut inner = self.inner.lock();
            inner.carriers.retain(|other| other.as_ptr() != Arc::as_ptr(carrier));
            // It will not be told that clusters are ready.
            inner.is_held &= matches!(carrier.caller, Caller::Filter(..));
        }
        for (_, (vm, mut exchange)) in std::mem::take(&mut *carrier.calls.lock()) {
            let token = exchange.token();
            self.inner.lock().places.remove(&(vm, token));
            let replies = exchange.feed(Incoming::Reset).replies;
            tell(vm, replies.into_iter().map(|reply| (token, reply)).collect());
        }
        let is_queued = !self.inner.lock().queue.is_empty();
        if is_queued {
            self.wake();
        }
    }
}

fn tell_no_carrier(cluster: &str) {
    telemetry::log(
        Level::Warn,
        format_args!(
            "graft: a callout to cluster {cluster:?} failed: no configuration can carry it, expected an HTTP filter or a \
             service of Graft's beside network filters and access loggers (docs/PROXY_WASM.md, Callouts)"
        ),
    );
}

/// Puts replies on the agenda.
fn tell(vm: u64, replies: Vec<(Token, Reply)>) {
    if let Ok(module) = module::module() {
        for (token, reply) in replies {
            module.registry.commons().agenda.post(vm, Event::Reply(token, reply));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;
    use crate::abi::testing::{FakeConfig, FakeEnvoy};
    use crate::host::calls::Outgoing;

    /// A VM that nobody has, so that what is told to it is dropped.
    const VM: u64 = u64::MAX;

    #[test]
    fn a_proxy_that_shuts_down_has_no_call_under_way_and_starts_none() {
        let envoy = FakeEnvoy::install();
        let (calls, (_config, carrier)) = (ProcessCalls::default(), carrier(&envoy));
        calls.add(&carrier);
        calls.submit(VM, vec![Command::Start(Box::new(request(4, Kind::GrpcStream)))]);
        calls.on_scheduled(&carrier);
        calls.shut_down();
        assert_eq!(envoy.told_of_calls().last().unwrap(), "reset 2");
        calls.submit(VM, vec![Command::Start(Box::new(request(8, Kind::Http)))]);
        calls.on_scheduled(&carrier);
        assert!(!envoy.told_of_calls().iter().any(|told| told.starts_with("start")));
    }

    fn carrier(envoy: &FakeEnvoy) -> (FakeConfig, Arc<Carrier>) {
        let config = envoy.config();
        let carrier = Carrier::new(config.handle()).unwrap();
        (config, carrier)
    }

    fn started(kind: Kind) -> Command {
        Command::Start(Box::new(request(4 | kind as u32, kind)))
    }

    #[test]
    fn commands_wait_for_the_main_thread_and_are_done_in_order() {
        let (envoy, calls) = (FakeEnvoy::install(), ProcessCalls::default());
        let (_config, carrier) = carrier(&envoy);
        calls.add(&carrier);
        let send = Command::Send(Token(6), Outgoing::of_its_own(b"x"), true);
        calls.submit(VM, vec![started(Kind::GrpcStream), send]);
        assert_eq!(envoy.told_of_calls(), ["new scheduler 1", "scheduler 1: 0"]);
        calls.on_scheduled(&carrier);
        let told = envoy.told_of_calls();
        assert!(told[0].starts_with("start 2: auth [") && told[0].ends_with("\"hi\" false 0"), "{told:?}");
        assert_eq!(told[1..], ["data 2: \"x\" true"]);
        calls.submit(VM, vec![Command::Cancel(Token(6)), Command::Send(Token(6), Outgoing::default(), true)]);
        envoy.told_of_calls();
        calls.on_scheduled(&carrier);
        assert_eq!(envoy.told_of_calls(), ["reset 2"], "nothing is sent on what is cancelled");
    }

    #[test]
    fn a_call_that_is_over_is_forgotten_and_of_another_vm_not_found() {
        let (envoy, calls) = (FakeEnvoy::install(), ProcessCalls::default());
        let (_config, carrier) = carrier(&envoy);
        calls.add(&carrier);
        calls.submit(VM, vec![started(Kind::Http)]);
        calls.on_scheduled(&carrier);
        let told = envoy.told_of_calls();
        assert!(told.last().unwrap().starts_with("trailers 2: "), "{told:?}");
        calls.submit(VM - 1, vec![Command::Cancel(Token(4))]);
        calls.on_scheduled(&carrier);
        assert_eq!(carrier.calls.lock().len(), 1);
        calls.on_event(&carrier, 2, &CallEvent::Complete);
        assert!(carrier.calls.lock().is_empty() && calls.inner.lock().places.is_empty());
        calls.on_event(&carrier, 2, &CallEvent::Reset);
        calls.submit(VM, vec![Command::Cancel(Token(4))]);
        calls.on_scheduled(&carrier);
        assert!(!envoy.told_of_calls().iter().any(|told| told.starts_with("reset")));
    }

    #[test]
    fn a_call_that_envoy_refuses_is_not_under_way() {
        let (envoy, calls) = (FakeEnvoy::install(), ProcessCalls::default());
        let (_config, carrier) = carrier(&envoy);
        calls.add(&carrier);
        envoy.refuse_calls(Some(CallRefusal::NoCluster));
        calls.submit(VM, vec![started(Kind::Http)]);
        calls.on_scheduled(&carrier);
        assert!(carrier.calls.lock().is_empty() && calls.inner.lock().places.is_empty());
    }

    #[test]
    fn commands_wait_while_envoys_clusters_are_not_ready() {
        let (envoy, calls) = (FakeEnvoy::install(), ProcessCalls::default());
        let (_config, carrier) = carrier(&envoy);
        calls.add(&carrier);
        calls.inner.lock().is_held = true;
        calls.submit(VM, vec![started(Kind::Http)]);
        calls.on_scheduled(&carrier);
        assert!(carrier.calls.lock().is_empty());
        envoy.told_of_calls();
        calls.release();
        assert_eq!(envoy.told_of_calls(), ["scheduler 1: 0"]);
        calls.on_scheduled(&carrier);
        assert_eq!(carrier.calls.lock().len(), 1);
    }

    #[test]
    fn another_configuration_does_what_waits_when_one_goes() {
        let (envoy, calls) = (FakeEnvoy::install(), ProcessCalls::default());
        let ((first_config, first), (_second_config, second)) = (carrier(&envoy), carrier(&envoy));
        calls.add(&first);
        calls.add(&second);
        calls.submit(VM, vec![started(Kind::Http)]);
        envoy.told_of_calls();
        first_config.close();
        calls.remove(&first);
        assert_eq!(envoy.told_of_calls(), ["scheduler 2: 0"]);
        calls.on_scheduled(&second);
        assert_eq!(second.calls.lock().len(), 1);
        calls.remove(&second);
        assert!(second.calls.lock().is_empty() && calls.inner.lock().places.is_empty());
    }

    /// The extension was asked before there was a filter, and comes by after.
    #[test]
    fn a_services_grpc_call_is_a_filters_whoever_comes_by() {
        let (envoy, calls) = (FakeEnvoy::install(), ProcessCalls::default());
        let extension = envoy.config();
        let service = Carrier::bootstrap(extension.handle_of()).unwrap();
        calls.add(&service);
        calls.submit(VM, vec![started(Kind::GrpcCall)]);
        let (config, filter) = carrier(&envoy);
        calls.add(&filter);
        calls.release();
        calls.on_scheduled(&service);
        assert_eq!((filter.calls.lock().len(), service.calls.lock().len()), (1, 0));
        config.close();
        calls.remove(&filter);
        calls.submit(VM, vec![started(Kind::GrpcCall)]);
        calls.on_scheduled(&service);
        assert!(service.calls.lock().is_empty() && calls.inner.lock().queue.is_empty(), "it has failed");
    }

    #[test]
    fn where_no_configuration_is_left_nothing_waits() {
        let (envoy, calls) = (FakeEnvoy::install(), ProcessCalls::default());
        let (config, carrier) = carrier(&envoy);
        calls.add(&carrier);
        config.close();
        calls.submit(VM, vec![started(Kind::Http), Command::Cancel(Token(4))]);
        assert!(calls.inner.lock().queue.is_empty());
    }

    #[test]
    fn an_envoy_without_calls_of_configurations_has_no_carrier() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| table.http_filter_config_start_http_stream = None);
        assert!(Carrier::new(envoy.config().handle()).is_none());
        assert!(!has_config_calls());
    }
}
