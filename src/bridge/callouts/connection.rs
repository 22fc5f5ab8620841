//! Calls that a TCP connection has in hand: where the process cannot carry them.
//!
//! That is so on Envoy 1.37, which has no calls of configurations; on 1.38, where nobody but its own worker can bring a
//! connection the reply that it waits for; and where no configuration lives that calls could be made on. Such a call has
//! one answer, so it is HTTP without trailers; and it ends with the connection.

use std::cell::RefCell;

use super::stream::refusal_of;
use super::{feed, lent};
use crate::abi::{CallEvent, CallRequest, ConnectionHandle, can_wake_connections, has_config_calls};
use crate::bridge::module;
use crate::host::calls::{Command, Exchange, Incoming, Kind, Reply, Request, Start, Token};

/// The calls of one connection. A cell, because Envoy can come back while one is used.
#[derive(Debug, Default)]
pub(in crate::bridge) struct ConnectionCalls {
    under_way: RefCell<Vec<(u64, Exchange)>>,
}

/// Whether the process can carry calls, and bring their replies to connections.
fn can_go_by_the_process() -> bool {
    has_config_calls()
        && can_wake_connections()
        && module::module().is_ok_and(|module| module.services.calls.has_carrier())
}

/// A guest starts a call inside a hook of a connection.
pub(in crate::bridge) fn start(envoy: &mut ConnectionHandle, request: &Request) -> Start {
    if can_go_by_the_process() || request.kind != Kind::Http || !request.trailers.is_empty() {
        return Start::NotHere;
    }
    let headers = lent(&request.headers);
    let call = CallRequest {
        cluster: request.cluster.as_bytes(),
        headers: &headers,
        body: &request.body,
        end_of_stream: true,
        timeout: request.timeout_milliseconds(),
    };
    envoy.start_call(&call).map_or_else(|refusal| Start::Refused(refusal_of(refusal)), Start::UnderWay)
}

impl ConnectionCalls {
    /// Takes over what the guest has started. Nothing else can be asked of such a call.
    pub(in crate::bridge) fn adopt(&self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Adopt(number, exchange) => self.under_way.borrow_mut().push((number, *exchange)),
                Command::Start(_) | Command::Send(..) | Command::Cancel(_) | Command::Resolve(_) => {}
            }
        }
    }

    /// The answer to a call came; what it is for the guest.
    pub(in crate::bridge) fn feed(&self, number: u64, events: &[CallEvent<'_>]) -> Vec<(Token, Reply)> {
        let mut exchange = {
            let mut under_way = self.under_way.borrow_mut();
            let Some(place) = under_way.iter().position(|(other, _)| *other == number) else {
                return Vec::new();
            };
            under_way.swap_remove(place).1
        };
        let token = exchange.token();
        let replies = events.iter().flat_map(|event| feed(&mut exchange, event).replies);
        replies.map(|reply| (token, reply)).collect()
    }

    /// The connection ends, and Envoy ends its calls: they have failed.
    pub(in crate::bridge) fn end(&self) -> Vec<(Token, Reply)> {
        let mut replies = Vec::new();
        for (_, mut exchange) in std::mem::take(&mut *self.under_way.borrow_mut()) {
            let token = exchange.token();
            replies.extend(exchange.feed(Incoming::Reset).replies.into_iter().map(|reply| (token, reply)));
        }
        replies
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;
    use crate::abi::CallRefusal;
    use crate::abi::testing::{FakeEnvoy, FakeStream};
    use crate::host::calls::{Pairs, Refusal};

    fn plain() -> Request {
        Request { trailers: Pairs::new(), ..request(4, Kind::Http) }
    }

    fn started(envoy: &FakeEnvoy, request: &Request) -> Start {
        envoy.inside_hook_of(&mut FakeStream::default(), |mut handle: ConnectionHandle| {
            start(&mut handle, request)
        })
    }

    fn answer() -> [CallEvent<'static>; 2] {
        let body: [&[u8]; 2] = [b"yes", b"!"];
        [
            CallEvent::Headers([(&b":status"[..], &b"200"[..])].into_iter().collect(), false),
            CallEvent::Data(body.into_iter().collect(), true),
        ]
    }

    #[test]
    fn a_connection_calls_itself_where_no_configuration_carries_calls() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| table.http_filter_config_start_http_stream = None);
        assert_eq!(started(&envoy, &plain()), Start::UnderWay(1));
        let told = envoy.told_of_calls();
        assert!(told[0].starts_with("start 1: auth [") && told[0].ends_with("\"hi\" true 0"), "{told:?}");
        assert_eq!(started(&envoy, &request(4, Kind::Http)), Start::NotHere, "trailers");
        assert_eq!(started(&envoy, &request(5, Kind::GrpcCall)), Start::NotHere);
        assert_eq!(started(&envoy, &request(6, Kind::GrpcStream)), Start::NotHere);
        assert!(envoy.told_of_calls().is_empty());
    }

    #[test]
    fn a_refusal_says_why() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| table.get_log_level = None);
        envoy.refuse_calls(Some(CallRefusal::NoCluster));
        assert_eq!(started(&envoy, &plain()), Start::Refused(Refusal::NoCluster));
    }

    #[test]
    fn an_answer_is_one_reply_and_nobody_elses() {
        let calls = ConnectionCalls::default();
        let exchange = Exchange::new(Token(4), Kind::Http, plain().held);
        calls.adopt(vec![Command::Adopt(7, Box::new(exchange))]);
        assert!(calls.feed(8, &answer()).is_empty());
        let replies = calls.feed(7, &answer());
        let [(Token(4), Reply::Http { headers, body, .. })] = replies.as_slice() else {
            panic!("{replies:?}")
        };
        assert_eq!((headers.len(), body.as_slice()), (1, &b"yes!"[..]));
        assert!(calls.feed(7, &[CallEvent::Reset]).is_empty(), "it is over");
    }

    #[test]
    fn calls_under_way_when_the_connection_ends_have_failed() {
        let calls = ConnectionCalls::default();
        let exchange = Exchange::new(Token(4), Kind::Http, plain().held);
        calls.adopt(vec![Command::Adopt(7, Box::new(exchange))]);
        assert_eq!(calls.end(), [(Token(4), Reply::HttpFailed)]);
        assert!(calls.end().is_empty());
    }
}
