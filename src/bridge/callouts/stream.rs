//! Calls that a stream has in hand.

use std::cell::RefCell;

use super::{feed, lent};
use crate::abi::{CallEvent, CallRefusal, CallRequest, HttpFilterHandle, has_config_calls};
use crate::bridge::stream::EnvoyStream;
use crate::host::calls::{Command, Exchange, Incoming, Kind, Refusal, Reply, Request, Start, Token};
use crate::host::contexts::StreamIndex;
use crate::host::vm::Vm;

/// The calls of one filter. Cells, because Envoy can come back while one is used.
#[derive(Debug, Default)]
pub(in crate::bridge) struct StreamCalls {
    under_way: RefCell<Vec<(u64, Exchange)>>,
    /// Replies that came where the guest could not be entered.
    waiting: RefCell<Vec<(Token, Reply)>>,
}

/// A guest starts a call inside a hook of a stream.
pub(in crate::bridge) fn start(envoy: &mut HttpFilterHandle, request: &Request) -> Start {
    // Where it starts is known when the guest has said whether it waits.
    if has_config_calls() {
        return Start::Later;
    }
    match begin(envoy, request) {
        Ok(number) => {
            finish(envoy, number, request);
            Start::UnderWay(number)
        }
        Err(refusal) => Start::Refused(refusal),
    }
}

pub(super) fn refusal_of(refusal: CallRefusal) -> Refusal {
    match refusal {
        CallRefusal::MissingHeaders => Refusal::MissingHeaders,
        CallRefusal::NoCluster => Refusal::NoCluster,
        CallRefusal::Failed => Refusal::Failed,
    }
}

fn begin(envoy: &mut HttpFilterHandle, request: &Request) -> Result<u64, Refusal> {
    let headers = lent(&request.headers);
    let call = CallRequest {
        cluster: request.cluster.as_bytes(),
        headers: &headers,
        body: &request.body,
        end_of_stream: request.is_complete && request.trailers.is_empty(),
        timeout: request.timeout_milliseconds(),
    };
    // Envoy 1.37 crashes when a call whose answer comes in parts finds no room in the cluster (`max_pending_requests`), so
    // there it makes only those that cannot come at once.
    let is_plain = request.kind == Kind::Http && request.trailers.is_empty();
    let started =
        if is_plain && !has_config_calls() { envoy.start_whole_call(&call) } else { envoy.start_call(&call) };
    started.map_err(refusal_of)
}

/// Sends the trailers, if there are any.
fn finish(envoy: &mut HttpFilterHandle, number: u64, request: &Request) {
    if request.is_complete && !request.trailers.is_empty() {
        envoy.send_call_trailers(number, &lent(&request.trailers));
    }
}

impl StreamCalls {
    /// After an entry point, inside the VM: what this stream is to do. Calls that it does not wait for go to the
    /// process.
    pub(in crate::bridge) fn take(
        vm: &mut Vm<EnvoyStream>,
        index: StreamIndex,
        is_held: bool,
    ) -> Vec<Command> {
        let commands = vm.take_commands(index);
        if commands.is_empty() || !has_config_calls() {
            return commands;
        }
        let mut tokens = Vec::new();
        let (handed_over, here) = commands.into_iter().partition(|command| match command {
            Command::Start(request) => {
                let goes = !is_held || request.kind == Kind::GrpcStream;
                tokens.extend(goes.then_some(request.token));
                goes
            }
            // What is said on a call follows it.
            Command::Send(token, ..) | Command::Cancel(token) => tokens.contains(token),
            Command::Adopt(..) | Command::Resolve(_) => false,
        });
        vm.hand_over(handed_over);
        here
    }

    /// Does what the guest asked, outside the VM. True: replies wait, and somebody has to come back for them.
    pub(in crate::bridge) fn run(&self, envoy: &mut HttpFilterHandle, commands: Vec<Command>) -> bool {
        for command in commands {
            match command {
                Command::Adopt(number, exchange) => self.under_way.borrow_mut().push((number, *exchange)),
                Command::Start(request) => self.start(envoy, *request),
                // The process has it.
                Command::Resolve(_) => {}
                Command::Send(token, outgoing, end) => {
                    if let Some(number) = self.number(token) {
                        envoy.send_call_data(number, &outgoing.bytes, end);
                    }
                }
                Command::Cancel(token) => {
                    if let Some(number) = self.number(token) {
                        self.under_way.borrow_mut().retain(|(other, _)| *other != number);
                        envoy.reset_call(number);
                    }
                }
            }
        }
        !self.waiting.borrow().is_empty()
    }

    fn start(&self, envoy: &mut HttpFilterHandle, mut request: Request) {
        let (token, kind) = (request.token, request.kind);
        match begin(envoy, &request) {
            Ok(number) => {
                let held = request.take_held();
                self.under_way.borrow_mut().push((number, Exchange::new(token, kind, held)));
                finish(envoy, number, &request);
            }
            // It is too late for a status: the guest learns it from the reply.
            Err(refusal) => {
                tell_refusal(&request.cluster, refusal);
                self.waiting.borrow_mut().extend(failed(token, kind, request));
            }
        }
    }

    fn number(&self, token: Token) -> Option<u64> {
        let under_way = self.under_way.borrow();
        under_way.iter().find(|(_, exchange)| exchange.token() == token).map(|(number, _)| *number)
    }

    /// Envoy tells something; answers what that is for the guest.
    pub(in crate::bridge) fn feed(
        &self,
        envoy: &mut HttpFilterHandle,
        number: u64,
        event: &CallEvent<'_>,
    ) -> Vec<(Token, Reply)> {
        let (token, fed) = {
            let mut under_way = self.under_way.borrow_mut();
            let Some(place) = under_way.iter().position(|(other, _)| *other == number) else {
                return Vec::new();
            };
            let Some((_, exchange)) = under_way.get_mut(place) else { return Vec::new() };
            let token = exchange.token();
            let fed = feed(exchange, event);
            if fed.is_over {
                under_way.swap_remove(place);
            }
            (token, fed)
        };
        if fed.is_aborted {
            envoy.reset_call(number);
        }
        fed.replies.into_iter().map(|reply| (token, reply)).collect()
    }

    /// Keeps replies for the next time that the guest can be entered.
    pub(in crate::bridge) fn keep(&self, replies: Vec<(Token, Reply)>) {
        self.waiting.borrow_mut().extend(replies);
    }

    /// The replies that were kept.
    pub(in crate::bridge) fn take_waiting(&self) -> Vec<(Token, Reply)> {
        std::mem::take(&mut *self.waiting.borrow_mut())
    }

    /// The stream ends, and Envoy ends its calls: they have failed.
    pub(in crate::bridge) fn end(&self) -> Vec<(Token, Reply)> {
        let mut replies = self.take_waiting();
        for (_, mut exchange) in std::mem::take(&mut *self.under_way.borrow_mut()) {
            let token = exchange.token();
            replies.extend(exchange.feed(Incoming::Reset).replies.into_iter().map(|reply| (token, reply)));
        }
        replies
    }
}

/// A call was refused when it was too late for a status.
pub(super) fn tell_refusal(cluster: &str, refusal: Refusal) {
    let reason = match refusal {
        Refusal::NoCluster => "there is no such cluster, expected the name of a cluster of this Envoy",
        Refusal::MissingHeaders => "Envoy refused its headers, expected :method, :path and :authority",
        Refusal::Failed => "no host of it took the call",
    };
    super::tell(format_args!("graft: a callout to cluster {cluster:?} failed: {reason}"));
}

/// A service's call needs more than an extension of Envoy's has: its answers come without trailers.
pub(super) fn tell_unable(cluster: &str) {
    super::tell(format_args!(
        "graft: a callout to cluster {cluster:?} failed: only an HTTP filter of Graft's can make gRPC calls for services, \
         and there is none (docs/COMPATIBILITY.md)"
    ));
}

/// The replies of a call that did not get under way.
pub(super) fn failed(token: Token, kind: Kind, mut request: Request) -> Vec<(Token, Reply)> {
    let mut exchange = Exchange::new(token, kind, request.take_held());
    exchange.unavailable().into_iter().map(|reply| (token, reply)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream};
    use crate::host::calls::{Outgoing, Pairs};

    fn headers(end: bool) -> CallEvent<'static> {
        CallEvent::Headers([(&b":status"[..], &b"200"[..])].into_iter().collect(), end)
    }

    #[test]
    fn a_call_is_started_with_its_trailers_and_its_reply_is_the_guests() {
        let (envoy, calls) = (FakeEnvoy::install(), StreamCalls::default());
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            let waits = calls.run(&mut handle, vec![Command::Start(Box::new(request(4, Kind::Http)))]);
            assert!(!waits);
            let told = envoy.told_of_calls();
            assert!(
                told[0].starts_with("start 1: auth [") && told[0].ends_with("\"hi\" false 0"),
                "{told:?}"
            );
            assert!(told[1].starts_with("trailers 1: ") && told.len() == 2, "{told:?}");
            assert!(calls.feed(&mut handle, 1, &headers(false)).is_empty());
            assert!(calls.feed(&mut handle, 9, &headers(true)).is_empty(), "a call of nobody's");
            let replies = calls.feed(&mut handle, 1, &CallEvent::Complete);
            assert!(matches!(replies.as_slice(), [(Token(4), Reply::Http { .. })]), "{replies:?}");
            assert!(calls.feed(&mut handle, 1, &CallEvent::Reset).is_empty(), "it is over");
        });
        assert!(calls.end().is_empty());
    }

    #[test]
    fn what_is_sent_and_cancelled_goes_by_envoys_number() {
        let (envoy, calls) = (FakeEnvoy::install(), StreamCalls::default());
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            let exchange =
                Box::new(Exchange::new(Token(6), Kind::GrpcStream, request(6, Kind::GrpcStream).held));
            let commands = vec![
                Command::Adopt(31, exchange),
                Command::Send(Token(6), Outgoing::of_its_own(b"x"), false),
                Command::Send(Token(10), Outgoing::of_its_own(b"nobody's"), false),
                Command::Cancel(Token(10)),
                Command::Cancel(Token(6)),
                Command::Send(Token(6), Outgoing::of_its_own(b"late"), false),
            ];
            assert!(!calls.run(&mut handle, commands));
            assert!(
                calls.feed(&mut handle, 31, &CallEvent::Reset).is_empty(),
                "the guest wants no word of it"
            );
        });
        assert_eq!(envoy.told_of_calls(), ["data 31: \"x\" false", "reset 31"]);
    }

    #[test]
    fn a_call_that_is_refused_after_the_guest_has_returned_has_failed() {
        let (envoy, calls) = (FakeEnvoy::install(), StreamCalls::default());
        envoy.refuse_calls(Some(CallRefusal::NoCluster));
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            let commands = vec![
                Command::Start(Box::new(request(4, Kind::Http))),
                Command::Start(Box::new(request(9, Kind::GrpcCall))),
            ];
            assert!(calls.run(&mut handle, commands), "somebody has to come back for the replies");
        });
        let expected = [(Token(4), Reply::HttpFailed), (Token(9), Reply::GrpcClose(14, Vec::new()))];
        assert_eq!(calls.take_waiting(), expected);
        assert!(calls.take_waiting().is_empty());
    }

    #[test]
    fn calls_that_are_under_way_when_the_stream_ends_have_failed() {
        let (envoy, calls) = (FakeEnvoy::install(), StreamCalls::default());
        calls.keep(vec![(Token(8), Reply::HttpFailed)]);
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            calls.run(&mut handle, vec![Command::Start(Box::new(request(4, Kind::Http)))]);
        });
        assert_eq!(calls.end(), [(Token(8), Reply::HttpFailed), (Token(4), Reply::HttpFailed)]);
        assert!(calls.end().is_empty());
    }

    #[test]
    fn a_reply_that_is_wrong_ends_the_call_at_envoy() {
        let (envoy, calls) = (FakeEnvoy::install(), StreamCalls::default());
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            calls.run(&mut handle, vec![Command::Start(Box::new(request(9, Kind::GrpcCall)))]);
            calls.feed(&mut handle, 1, &headers(false));
            let compressed: [&[u8]; 1] = [&[1, 0, 0, 0, 0]];
            let replies =
                calls.feed(&mut handle, 1, &CallEvent::Data(compressed.into_iter().collect(), false));
            assert_eq!(replies, [(Token(9), Reply::GrpcClose(13, Vec::new()))]);
        });
        assert_eq!(envoy.told_of_calls().last().unwrap(), "reset 1");
    }

    #[test]
    fn where_a_call_starts_is_decided_after_the_guest_unless_streams_alone_can_call() {
        let envoy = FakeEnvoy::install();
        let start = || {
            envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
                start(&mut handle, &request(4, Kind::Http))
            })
        };
        assert_eq!(start(), Start::Later);
        assert!(envoy.told_of_calls().is_empty());
        envoy.remove_callbacks(|table| table.http_filter_config_start_http_stream = None);
        assert_eq!(start(), Start::UnderWay(1));
        assert!(envoy.told_of_calls().last().unwrap().starts_with("trailers 1: "));
        envoy.refuse_calls(Some(CallRefusal::NoCluster));
        assert_eq!(start(), Start::Refused(Refusal::NoCluster));
        envoy.refuse_calls(None);
        // Without trailers its answer comes at once.
        let plain = Request { trailers: Pairs::new(), ..request(4, Kind::Http) };
        envoy.remove_callbacks(|table| table.http_filter_start_http_stream = None);
        let started =
            envoy.inside_hook(&mut FakeStream::default(), |mut handle| super::start(&mut handle, &plain));
        assert_eq!(started, Start::UnderWay(2));
    }
}
