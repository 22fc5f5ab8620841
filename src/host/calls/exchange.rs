//! One call, outside its VM: events of Envoy's go in, replies for the guest come out.

use smallvec::SmallVec;

use super::grpc::Messages;
use super::{Excess, Held, Kind, Pairs, Reply, Token};

/// What Envoy tells of a reply.
#[derive(Clone, Copy, Debug)]
pub enum Incoming<'a> {
    /// Response headers, and whether that is all.
    Headers(&'a [(&'a [u8], &'a [u8])], bool),
    /// A piece of body, and whether that is all.
    Data(&'a [u8], bool),
    /// Trailers.
    Trailers(&'a [(&'a [u8], &'a [u8])]),
    /// Both directions have ended.
    Complete,
    /// It was reset, or never got under way.
    Reset,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Fed {
    /// For the guest, in order.
    pub replies: SmallVec<[Reply; 2]>,
    /// The exchange is over for the guest.
    pub is_over: bool,
    /// Envoy has to be told to end it.
    pub is_aborted: bool,
    /// There was no room for all of it (`graft.limits.callout_bytes`).
    pub excess: Option<Excess>,
}

/// gRPC statuses that a host gives itself (grpc/status.h).
const UNKNOWN: u32 = 2;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;

/// The last status that gRPC defines, and what Envoy says for one that is none (`InvalidCode`, -1).
const LAST: u32 = 16;
const INVALID: u32 = u32::MAX;

/// See the module's text.
#[derive(Debug)]
pub struct Exchange {
    token: Token,
    kind: Kind,
    held: Held,
    headers: Pairs,
    body: Vec<u8>,
    trailers: Pairs,
    messages: Messages,
    /// The message of a gRPC call, until its status is known.
    message: Option<Vec<u8>>,
    is_over: bool,
}

impl Exchange {
    /// The exchange of a request; `held` is what its request holds.
    pub fn new(token: Token, kind: Kind, held: Held) -> Self {
        Self {
            token,
            kind,
            held,
            headers: Pairs::new(),
            body: Vec::new(),
            trailers: Pairs::new(),
            messages: Messages::default(),
            message: None,
            is_over: false,
        }
    }

    /// What the guest knows the call by.
    pub fn token(&self) -> Token {
        self.token
    }

    /// The plugin whose call it is.
    pub fn plugin(&self) -> &str {
        self.held.plugin()
    }

    /// Takes what Envoy tells.
    pub fn feed(&mut self, incoming: Incoming<'_>) -> Fed {
        let mut fed = Fed::default();
        if self.is_over {
            return fed;
        }
        let bytes = match incoming {
            Incoming::Headers(pairs, _) | Incoming::Trailers(pairs) => size(pairs),
            Incoming::Data(data, _) => data.len(),
            Incoming::Complete | Incoming::Reset => 0,
        };
        if let Err(excess) = self.held.more(bytes) {
            self.fail(&mut fed, INTERNAL, b"the reply is longer than graft.limits.callout_bytes allows");
            fed.is_aborted = true;
            fed.excess = Some(excess);
        } else if self.kind == Kind::Http {
            self.feed_http(incoming, &mut fed);
        } else {
            self.feed_grpc(incoming, &mut fed);
        }
        self.is_over = fed.is_over;
        fed
    }

    /// The call did not get under way: what the guest is told.
    pub fn unavailable(&mut self) -> SmallVec<[Reply; 2]> {
        let mut fed = Fed::default();
        if !self.is_over {
            self.is_over = true;
            self.fail(&mut fed, UNAVAILABLE, b"");
        }
        fed.replies
    }

    fn feed_http(&mut self, incoming: Incoming<'_>, fed: &mut Fed) {
        match incoming {
            Incoming::Headers(pairs, _) => self.headers = owned(pairs),
            Incoming::Data(data, _) => self.body.extend_from_slice(data),
            Incoming::Trailers(pairs) => self.trailers = owned(pairs),
            Incoming::Reset => self.fail(fed, INTERNAL, b""),
            Incoming::Complete => {}
        }
        let is_whole = match incoming {
            Incoming::Headers(_, end) | Incoming::Data(_, end) => end,
            Incoming::Trailers(_) | Incoming::Complete => true,
            Incoming::Reset => false,
        };
        if is_whole {
            fed.is_over = true;
            fed.replies.push(Reply::Http {
                headers: std::mem::take(&mut self.headers),
                body: std::mem::take(&mut self.body),
                trailers: std::mem::take(&mut self.trailers),
            });
        }
    }

    fn feed_grpc(&mut self, incoming: Incoming<'_>, fed: &mut Fed) {
        match incoming {
            Incoming::Headers(pairs, end) => self.grpc_headers(pairs, end, fed),
            Incoming::Data(data, end) => self.grpc_data(data, end, fed),
            Incoming::Trailers(pairs) => self.grpc_end(owned(pairs), fed),
            // A reply without trailers says nothing about how it went.
            Incoming::Complete => self.fail(fed, UNKNOWN, b""),
            Incoming::Reset => self.fail(fed, INTERNAL, b""),
        }
    }

    /// The order and the statuses are those of Envoy's gRPC client (`source/common/grpc/async_client_impl.cc`).
    fn grpc_headers(&mut self, pairs: &[(&[u8], &[u8])], end: bool, fed: &mut Fed) {
        let http_status = find(pairs, b":status").and_then(number).unwrap_or(0);
        if self.kind == Kind::GrpcStream {
            // Headers that are all are trailers.
            let initial = if end { Pairs::new() } else { owned(pairs) };
            fed.replies.push(Reply::GrpcInitial(initial));
        }
        if http_status != 200 {
            if end && find(pairs, b"grpc-status").is_some_and(|status| !status.is_empty()) {
                self.grpc_end(owned(pairs), fed);
            } else {
                self.fail(fed, from_http(http_status), b"");
            }
            fed.is_aborted = !end;
        } else if end {
            self.grpc_end(owned(pairs), fed);
        }
    }

    fn grpc_data(&mut self, data: &[u8], end: bool, fed: &mut Fed) {
        let Ok(messages) = self.messages.add(data) else {
            self.fail(fed, INTERNAL, b"");
            fed.is_aborted = !end;
            return;
        };
        for message in messages {
            if self.kind == Kind::GrpcStream {
                fed.replies.push(Reply::GrpcMessage(message));
            } else {
                // The last one counts, as in Envoy's client.
                self.message = Some(message);
            }
        }
        if end {
            self.fail(fed, UNKNOWN, b"");
        }
    }

    fn grpc_end(&mut self, trailers: Pairs, fed: &mut Fed) {
        let find = |name: &[u8]| trailers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let status = match find(b"grpc-status") {
            Some(status) if !status.is_empty() => number(&status).filter(|status| *status <= LAST),
            _ => Some(UNKNOWN),
        }
        .unwrap_or(INVALID);
        let message = find(b"grpc-message").unwrap_or_default();
        if self.kind == Kind::GrpcStream {
            fed.replies.push(Reply::GrpcTrailing(trailers));
        }
        self.finish(fed, status, &message);
    }

    /// Ended by us.
    fn fail(&mut self, fed: &mut Fed, grpc_status: u32, message: &[u8]) {
        if self.kind == Kind::GrpcStream {
            fed.replies.push(Reply::GrpcTrailing(Pairs::new()));
        }
        if self.kind == Kind::Http {
            fed.is_over = true;
            fed.replies.push(Reply::HttpFailed);
        } else {
            self.finish(fed, grpc_status, message);
        }
    }

    /// The end of a gRPC exchange. A call that went well ends with its message; one that brought none did not.
    fn finish(&mut self, fed: &mut Fed, status: u32, message: &[u8]) {
        fed.is_over = true;
        fed.replies.push(match (self.kind, status, self.message.take()) {
            (Kind::GrpcCall, 0, Some(message)) => Reply::GrpcMessage(message),
            (Kind::GrpcCall, 0, None) => Reply::GrpcClose(INTERNAL, Vec::new()),
            _ => Reply::GrpcClose(status, message.to_vec()),
        });
    }
}

/// The gRPC status of an HTTP status (source/common/grpc/status.cc).
fn from_http(status: u32) -> u32 {
    match status {
        400 => INTERNAL,
        401 => 16,
        403 => 7,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

fn find<'a>(pairs: &[(&[u8], &'a [u8])], name: &[u8]) -> Option<&'a [u8]> {
    pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn owned(pairs: &[(&[u8], &[u8])]) -> Pairs {
    pairs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn size(pairs: &[(&[u8], &[u8])]) -> usize {
    /// What an entry costs beside its bytes.
    const ENTRY: usize = 64;
    pairs.iter().fold(0_usize, |sum, (name, value)| {
        sum.saturating_add(name.len()).saturating_add(value.len()).saturating_add(ENTRY)
    })
}

#[cfg(test)]
mod tests {
    use super::super::frame;
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    fn exchange(kind: Kind) -> Exchange {
        Exchange::new(Token(4 | kind as u32), kind, Held::of_at_most(1000))
    }

    fn pairs(list: &[(&[u8], &[u8])]) -> Pairs {
        owned(list)
    }

    const OK: &[(&[u8], &[u8])] = &[(b":status", b"200")];

    #[test]
    fn an_http_reply_is_told_when_it_is_whole() {
        let mut exchange = exchange(Kind::Http);
        assert!(exchange.feed(Incoming::Headers(OK, false)).replies.is_empty());
        assert!(exchange.feed(Incoming::Data(b"bo", false)).replies.is_empty());
        assert!(exchange.feed(Incoming::Data(b"dy", false)).replies.is_empty());
        let fed = exchange.feed(Incoming::Trailers(&[(b"t", b"1")]));
        assert!(fed.is_over && !fed.is_aborted);
        let expected =
            Reply::Http { headers: pairs(OK), body: b"body".to_vec(), trailers: pairs(&[(b"t", b"1")]) };
        assert_eq!(fed.replies.as_slice(), [expected]);
        assert!(exchange.feed(Incoming::Complete).replies.is_empty());
    }

    #[test]
    fn a_reset_is_told_once() {
        let mut exchange = exchange(Kind::Http);
        exchange.feed(Incoming::Headers(OK, false));
        assert_eq!(exchange.feed(Incoming::Reset).replies.as_slice(), [Reply::HttpFailed]);
        assert!(exchange.feed(Incoming::Reset).replies.is_empty());
    }

    #[test]
    fn a_reply_that_is_too_long_fails_and_gives_back_what_it_held() {
        let held = Held::of_at_most(200);
        let holdings = Arc::clone(&held.of);
        let mut exchange = Exchange::new(Token(4), Kind::Http, held);
        exchange.feed(Incoming::Headers(OK, false));
        assert!(exchange.feed(Incoming::Data(&[0; 100], false)).replies.is_empty());
        let fed = exchange.feed(Incoming::Data(&[0; 100], false));
        assert_eq!((fed.replies.as_slice(), fed.is_aborted), (&[Reply::HttpFailed][..], true));
        // Headers with what they cost beside their bytes, and twice a hundred.
        assert_eq!(fed.excess, Some(Excess { bytes: 74 + 200, limit: 200 }));
        drop(exchange);
        assert_eq!(holdings.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_grpc_call_ends_with_its_message_when_its_status_is_ok() {
        let mut exchange = exchange(Kind::GrpcCall);
        exchange.feed(Incoming::Headers(OK, false));
        assert!(exchange.feed(Incoming::Data(&frame(b"hello"), false)).replies.is_empty());
        let fed = exchange.feed(Incoming::Trailers(&[(b"grpc-status", b"0")]));
        assert_eq!(fed.replies.as_slice(), [Reply::GrpcMessage(b"hello".to_vec())]);
    }

    #[test]
    fn a_grpc_call_that_fails_ends_with_its_status() {
        for (status, message, headers, trailers) in [
            (5, &b"none"[..], OK, Some(&[(&b"grpc-status"[..], &b"5"[..]), (b"grpc-message", b"none")][..])),
            (UNKNOWN, b"", OK, Some(&[])),
            (INTERNAL, b"", OK, Some(&[(b"grpc-status", b"0")])),
            (UNAVAILABLE, b"", &[(b":status", b"503")], None),
            (UNIMPLEMENTED, b"", &[(b":status", b"404")], None),
            (INVALID, b"", OK, Some(&[(b"grpc-status", b"17")])),
            (INVALID, b"", OK, Some(&[(b"grpc-status", b"fine")])),
            (UNKNOWN, b"", OK, Some(&[(b"grpc-status", b"")])),
        ] {
            let mut exchange = exchange(Kind::GrpcCall);
            let mut fed = exchange.feed(Incoming::Headers(headers, false));
            if let Some(trailers) = trailers {
                fed = exchange.feed(Incoming::Trailers(trailers));
            }
            assert_eq!(fed.replies.as_slice(), [Reply::GrpcClose(status, message.to_vec())], "{headers:?}");
            assert!(fed.is_over);
        }
    }

    #[test]
    fn a_grpc_stream_tells_each_part() {
        let mut exchange = exchange(Kind::GrpcStream);
        assert_eq!(
            exchange.feed(Incoming::Headers(OK, false)).replies.as_slice(),
            [Reply::GrpcInitial(pairs(OK))]
        );
        let two = [frame(b"a"), frame(b"b")].concat();
        assert_eq!(
            exchange.feed(Incoming::Data(&two, false)).replies.as_slice(),
            [Reply::GrpcMessage(b"a".to_vec()), Reply::GrpcMessage(b"b".to_vec())]
        );
        let trailers: &[(&[u8], &[u8])] = &[(b"grpc-status", b"0")];
        assert_eq!(
            exchange.feed(Incoming::Trailers(trailers)).replies.as_slice(),
            [Reply::GrpcTrailing(pairs(trailers)), Reply::GrpcClose(0, Vec::new())]
        );
    }

    #[test]
    fn headers_that_are_all_are_the_trailers_of_a_grpc_stream_whatever_the_http_status() {
        for status in [&b"200"[..], b"503"] {
            let headers: &[(&[u8], &[u8])] = &[(b":status", status), (b"grpc-status", b"7")];
            let fed = exchange(Kind::GrpcStream).feed(Incoming::Headers(headers, true));
            let expected = [
                Reply::GrpcInitial(Pairs::new()),
                Reply::GrpcTrailing(pairs(headers)),
                Reply::GrpcClose(7, Vec::new()),
            ];
            assert_eq!(fed.replies.as_slice(), expected);
            assert!(fed.is_over && !fed.is_aborted);
        }
    }

    #[test]
    fn a_frame_that_is_none_ends_the_exchange() {
        let mut exchange = exchange(Kind::GrpcStream);
        exchange.feed(Incoming::Headers(OK, false));
        // Compressed, which nobody asked for.
        let fed = exchange.feed(Incoming::Data(&[1, 0, 0, 0, 1, 9], false));
        assert!(fed.is_over && fed.is_aborted);
        assert_eq!(fed.replies.last(), Some(&Reply::GrpcClose(INTERNAL, Vec::new())));
    }
}
