//! Web servers that misbehave.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::http_server::{Asked, HttpServer, Reply};
use super::wasm;

/// What a server does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// 200, all as it should be.
    Whole(Vec<u8>),
    /// A status without a body.
    Status(u16),
    /// Anything, as a registry would say it: status, headers, body.
    Full(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The body, a few bytes now and then: so many, and after each so long a pause.
    Drip { body: Vec<u8>, bytes: usize, pause: Duration },
    /// Takes the request and says nothing.
    Silence,
    /// A body of zeroes of which no end is told and none comes (after 4 GiB it is over all the same).
    Endless,
    /// The length of the whole body, of which only so many bytes come.
    Truncated { body: Vec<u8>, at: usize },
    /// The whole body, and a `content-length` that is something else.
    WrongLength { body: Vec<u8>, said: usize },
    /// A redirect.
    Redirect(String),
    /// A redirect to another path of this server, each time another.
    RedirectLoop,
    /// Something that is not HTTP.
    Nonsense,
}

/// A server that does the same with every request.
pub fn always(answer: Answer) -> HttpServer {
    by_turns(move |_, _| answer.clone())
}

/// A server that answers a status so many times, and then as it should.
pub fn fails_at_first(status: u16, times: usize, body: Vec<u8>) -> HttpServer {
    by_turns(move |_, turn| if turn < times { Answer::Status(status) } else { Answer::Whole(body.clone()) })
}

/// A server whose answer depends on the request, and on how many came before it.
pub fn by_turns(choose: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> HttpServer {
    let turns = AtomicUsize::new(0);
    HttpServer::start(move |asked, reply| {
        let turn = turns.fetch_add(1, Ordering::SeqCst);
        give(choose(asked, turn), turn, reply);
    })
}

/// A registry with one image, which it gives out under each name: a single layer of code, answered as the test wants. What the
/// manifest says of the layer is right.
pub fn registry(code: &[u8], layer: impl Fn(Vec<u8>) -> Answer + Send + Sync + 'static) -> HttpServer {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let descriptor =
        |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor("application/wasm", code)],
    });
    let (manifest, code) = (manifest.to_string().into_bytes(), code.to_vec());
    by_turns(move |asked, _| {
        if asked.path.contains("/manifests/") {
            let headers =
                vec![("content-type", MANIFEST.to_owned()), ("docker-content-digest", digest(&manifest))];
            let body = if asked.method == "HEAD" { Vec::new() } else { manifest.clone() };
            Answer::Full(200, headers, body)
        } else if asked.path.contains("/blobs/") {
            layer(code.clone())
        } else {
            Answer::Whole(b"{}".to_vec())
        }
    })
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", wasm::sha256(bytes))
}

fn give(answer: Answer, turn: usize, reply: &mut Reply<'_>) {
    match answer {
        Answer::Whole(body) => {
            reply.answer(200, &[], &body);
        }
        Answer::Status(status) => {
            reply.answer(status, &[], b"");
        }
        Answer::Full(status, headers, body) => {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            reply.answer(status, &headers, &body);
        }
        Answer::Drip { body, bytes, pause } => {
            let length = body.len().to_string();
            if !reply.head(200, &[("content-length", &length)]) {
                return;
            }
            for part in body.chunks(bytes.max(1)) {
                if !reply.write(part) || !reply.wait(pause) {
                    return;
                }
            }
        }
        Answer::Silence => {
            reply.wait(Duration::from_mins(2));
        }
        Answer::Endless => {
            let part = vec![0; 1 << 16];
            let mut goes_on = reply.head(200, &[]);
            for _ in 0..1 << 16 {
                goes_on = goes_on && reply.write(&part);
            }
        }
        Answer::Truncated { body, at } => {
            let length = body.len().to_string();
            let _ = reply.head(200, &[("content-length", &length)]) && reply.write(&body[..at]);
        }
        Answer::WrongLength { body, said } => {
            let _ = reply.head(200, &[("content-length", &said.to_string())]) && reply.write(&body);
        }
        Answer::Redirect(to) => {
            reply.answer(302, &[("location", &to)], b"");
        }
        Answer::RedirectLoop => {
            reply.answer(302, &[("location", &format!("/again/{turn}"))], b"");
        }
        Answer::Nonsense => {
            reply.write(b"\x15\x03\x01\x00\x02\x02\x50 this is no HTTP\r\n\r\n");
        }
    }
}
