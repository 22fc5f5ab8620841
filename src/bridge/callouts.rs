//! Callouts over Envoy's HTTP calls.
//!
//! Envoy has two kinds of call, and a guest one; what decides is whether the stream waits:
//!
//! | who asks | how | why |
//! | --- | --- | --- |
//! | a stream that the guest then holds | a call of that stream, on its worker ([`stream`]) | the shortest way; ends with the stream |
//! | a stream that goes on, or ends | a call of a configuration, on the main thread ([`process`]) | must not end with the stream |
//! | a root context | the same | there is no stream |
//! | a connection | the same; where it cannot be had, a call of that connection ([`connection`]) | its calls have one answer, without trailers, and end with it |
//!
//! So a call starts when the guest has returned, and whether there is such a cluster shows only then: the guest learns it
//! from the reply, where the built-in host has a status. Envoy 1.37 has no calls of configurations: there every call of a
//! stream is its own and starts at once, and roots have none.

mod connection;
mod process;
mod stream;

pub(super) use connection::{ConnectionCalls, start as start_of_connection};
pub(super) use process::{Carrier, Carrying, ProcessCalls};
pub(super) use stream::{StreamCalls, start};

use std::fmt;
use std::time::Duration;

use super::module;
use crate::abi::CallEvent;
use crate::host::calls::{Exchange, Fed, Incoming, Pairs};
use crate::host::stream::Services as _;
use crate::telemetry::gate::Gate;
use crate::telemetry::{self, Level};

/// Lines about callouts that failed: a cluster that is gone fails one a request.
static FAILURES: Gate = Gate::new(10, Duration::from_secs(10));

/// Tells of a callout that failed, unless there were many just now.
fn tell(line: fmt::Arguments<'_>) {
    if let Ok(module) = module::module() {
        telemetry::log_sparingly(&FAILURES, module.services.monotonic_nanoseconds(), Level::Warn, line);
    }
}

/// Pairs, lent.
fn lent(pairs: &Pairs) -> Vec<(&[u8], &[u8])> {
    pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

/// Tells an exchange what Envoy tells.
fn feed(exchange: &mut Exchange, event: &CallEvent<'_>) -> Fed {
    let fed = match event {
        CallEvent::Headers(headers, end) => exchange.feed(Incoming::Headers(headers, *end)),
        CallEvent::Trailers(trailers) => exchange.feed(Incoming::Trailers(trailers)),
        CallEvent::Complete => exchange.feed(Incoming::Complete),
        CallEvent::Reset => exchange.feed(Incoming::Reset),
        CallEvent::TooLong => {
            tell_failed(
                exchange,
                "it is longer than Envoy keeps (its runtime key http.async_response_buffer_limit)",
            );
            exchange.feed(Incoming::Reset)
        }
        CallEvent::Data(pieces, end) => {
            let mut all = Fed::default();
            let (last, first) =
                pieces.split_last().map_or((&[][..], &[][..]), |(last, first)| (*last, first));
            for piece in first {
                join(&mut all, exchange.feed(Incoming::Data(piece, false)));
            }
            join(&mut all, exchange.feed(Incoming::Data(last, *end)));
            all
        }
    };
    if let Some(excess) = fed.excess {
        tell_failed(exchange, excess);
    }
    fed
}

fn tell_failed(exchange: &Exchange, why: impl std::fmt::Display) {
    let (plugin, token) = (exchange.plugin(), exchange.token().0);
    tell(format_args!("graft: plugin {plugin:?}: the reply to its callout {token} has failed: {why}"));
}

fn join(all: &mut Fed, next: Fed) {
    all.replies.extend(next.replies);
    all.is_over |= next.is_over;
    all.is_aborted |= next.is_aborted;
    all.excess = all.excess.or(next.excess);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::calls::{Held, Kind, Reply, Request, Token};

    /// A request with a body and a trailer.
    pub(super) fn request(token: u32, kind: Kind) -> Request {
        Request {
            token: Token(token),
            kind,
            cluster: "auth".to_owned(),
            headers: vec![(b":path".to_vec(), b"/".to_vec())],
            body: b"hi".to_vec(),
            trailers: if kind == Kind::Http { vec![(b"t".to_vec(), b"1".to_vec())] } else { Pairs::new() },
            is_complete: kind != Kind::GrpcStream,
            timeout: None,
            held: Held::of_its_own(),
        }
    }

    #[test]
    fn pieces_of_a_body_are_fed_in_order_and_the_last_one_ends_it() {
        let mut exchange = Exchange::new(Token(4), Kind::Http, Held::of_its_own());
        let pieces: [&[u8]; 3] = [b"one", b"", b"two"];
        assert!(
            feed(&mut exchange, &CallEvent::Data(pieces.into_iter().collect(), false)).replies.is_empty()
        );
        assert!(
            feed(&mut exchange, &CallEvent::Data(std::iter::empty().collect(), false)).replies.is_empty()
        );
        let fed = feed(&mut exchange, &CallEvent::Data(pieces.into_iter().collect(), true));
        let body = b"onetwoonetwo".to_vec();
        let reply = Reply::Http { headers: Pairs::new(), body, trailers: Pairs::new() };
        assert_eq!(fed.replies.as_slice(), [reply]);
        assert!(fed.is_over && !fed.is_aborted);
    }

    #[test]
    fn an_end_without_bytes_is_an_end() {
        let mut exchange = Exchange::new(Token(4), Kind::Http, Held::of_its_own());
        assert!(feed(&mut exchange, &CallEvent::Data(std::iter::empty().collect(), true)).is_over);
    }
}
