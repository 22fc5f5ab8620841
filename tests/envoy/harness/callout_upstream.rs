//! What callouts are sent to: an HTTP/1.1 server whose path says what it does.
//!
//! `x-forwarded-for` is in no answer, because it is another one on each machine. Nothing is set from outside, so that any number of plugins can use one server at the same time:
//!
//! | path | what happens |
//! | --- | --- |
//! | `/echo` | 200; `x-method`, `x-path`, `x-authority`; the request's `x-*` headers, body and trailers |
//! | `/headers` | 200; the request's headers as the body, a line each, sorted |
//! | `/forwarded` | 200; the body says whether there was the header `x-forwarded-for` |
//! | `/status/N` | status N, its number as the body |
//! | `/slow/MS` | 200 after so many milliseconds |
//! | `/hang` | no answer, for as long as the connection lives |
//! | `/gate` | as `/echo`, while the test holds the gate open ([`CalloutUpstream::open`]) |
//! | `/reset` | the connection is closed instead of an answer |
//! | `/half` | headers and half a body, then the connection is closed |
//! | `/bytes/N` | 200 with a body of N bytes |
//! | `/chunked/N` | the same without a length |

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpSocket;

use super::http1::{self, Body, Head, Side};
use super::upstream::Protocol;
use super::{Bootstrap, Headers, PATIENCE, header};

/// The name of the cluster of the upstream.
const CLUSTER: &str = "callout";

/// The name of a cluster at whose address nobody listens.
const NOBODY: &str = "nobody";

/// The header that holds an address of the machine.
const FORWARDED: &str = "x-forwarded-for";

/// The size of a part of a large body.
const PART: usize = 64 * 1024;

/// An upstream for callouts. It serves until the test process ends.
#[derive(Debug)]
pub struct CalloutUpstream {
    address: SocketAddr,
    /// Requests that came whole, by method and path, in order.
    seen: Mutex<Vec<String>>,
    waiting: AtomicUsize,
    gate: Mutex<bool>,
    opened: Condvar,
}

impl CalloutUpstream {
    pub fn start() -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let upstream = Arc::new(Self {
            address: listener.local_addr().expect("the port"),
            seen: Mutex::default(),
            waiting: AtomicUsize::new(0),
            gate: Mutex::new(false),
            opened: Condvar::new(),
        });
        let server = Arc::clone(&upstream);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || {
                    // How a connection ends is Envoy's choice, or that of the path.
                    let _ = server.serve(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        upstream
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds the clusters `callout`, which is this server, and `nobody`, whose address refuses.
    pub fn add_to(&self, bootstrap: Bootstrap) -> Bootstrap {
        bootstrap.cluster(CLUSTER, self.address, Protocol::Http1).cluster(
            NOBODY,
            refusing_address(),
            Protocol::Http1,
        )
    }

    /// Answers the requests that wait at `/gate`, and those to come.
    pub fn open(&self) {
        *lock(&self.gate) = true;
        self.opened.notify_all();
    }

    /// Holds the requests to `/gate` from now on.
    pub fn close(&self) {
        *lock(&self.gate) = false;
    }

    /// How many requests wait at `/gate` or `/hang`.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// The requests so far, such as `GET /echo`.
    pub fn seen(&self) -> Vec<String> {
        lock(&self.seen).clone()
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(head) = http1::read_head(&mut reader)? {
            let body = http1::read_body(&mut reader, &head, Side::Request);
            if !body.complete {
                return Ok(());
            }
            let mut words = head.start.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            lock(&self.seen).push(format!("{method} {path}"));
            self.answer(stream, &head, &body, method, path)?;
        }
        Ok(())
    }

    fn answer(
        &self,
        stream: &TcpStream,
        head: &Head,
        body: &Body,
        method: &str,
        path: &str,
    ) -> io::Result<()> {
        let mut segments = path.trim_start_matches('/').split('/');
        let what = segments.next().unwrap_or_default();
        let number: usize = segments.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let whole = |status: usize, body: &[u8]| write_whole(stream, status, &Headers::new(), body, method);
        match what {
            "echo" => write_echo(stream, head, body, method, path),
            "headers" => whole(200, listed(&head.headers).as_bytes()),
            "forwarded" => {
                let is_there = header(&head.headers, FORWARDED).is_some();
                whole(200, format!("{FORWARDED}: {is_there}").as_bytes())
            }
            "status" => whole(number, number.to_string().as_bytes()),
            "slow" => {
                std::thread::sleep(Duration::from_millis(number as u64));
                whole(200, b"slow")
            }
            "hang" => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                let ended = io::copy(&mut &*stream, &mut io::sink());
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                ended.and(Err(closed()))
            }
            "gate" => {
                self.pass_gate();
                write_echo(stream, head, body, method, path)
            }
            "reset" => Err(closed()),
            "half" => {
                let mut writer = stream;
                http1::write_head(&mut writer, "HTTP/1.1 200 OK", &length(20))?;
                writer.write_all(b"half a body")?;
                Err(closed())
            }
            "bytes" => write_bytes(stream, number),
            "chunked" => write_chunked(stream, number),
            _ => whole(404, b"no such path"),
        }
    }

    /// Returns when the gate is open.
    fn pass_gate(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let gate = lock(&self.gate);
        let waited = self.opened.wait_timeout_while(gate, PATIENCE, |open| !*open);
        drop(waited);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An address of the loopback interface at which nobody listens, until the test process ends.
pub fn refusing_address() -> SocketAddr {
    // Taken and not listened at: a port that is only free would some time be another Envoy's.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = socket.local_addr().expect("the port");
    std::mem::forget(socket);
    address
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

fn length(bytes: usize) -> Headers {
    vec![("content-length".to_owned(), bytes.to_string())]
}

/// Headers as text, a line each, sorted.
fn listed(headers: &Headers) -> String {
    let mut lines: Vec<_> = headers
        .iter()
        .filter(|(name, _)| name != FORWARDED)
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn write_whole(
    mut stream: &TcpStream,
    status: usize,
    extra: &Headers,
    body: &[u8],
    method: &str,
) -> io::Result<()> {
    let fields: Headers = extra.iter().cloned().chain(length(body.len())).collect();
    http1::write_head(&mut stream, &format!("HTTP/1.1 {status} Scripted"), &fields)?;
    if method == "HEAD" { Ok(()) } else { stream.write_all(body) }
}

/// What a request was, told by its answer.
fn write_echo(mut stream: &TcpStream, head: &Head, body: &Body, method: &str, path: &str) -> io::Result<()> {
    let authority = header(&head.headers, "host").unwrap_or_default();
    let mut fields: Headers = [("x-method", method), ("x-path", path), ("x-authority", authority)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    fields
        .extend(head.headers.iter().filter(|(name, _)| name.starts_with("x-") && name != FORWARDED).cloned());
    if body.trailers.is_empty() {
        return write_whole(stream, 200, &fields, &body.bytes, method);
    }
    fields.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
    http1::write_head(&mut stream, "HTTP/1.1 200 OK", &fields)?;
    if !body.bytes.is_empty() {
        http1::write_chunk(&mut stream, &body.bytes)?;
    }
    http1::write_last_chunk(&mut stream, &body.trailers).map(|_| ())
}

fn write_bytes(mut stream: &TcpStream, count: usize) -> io::Result<()> {
    http1::write_head(&mut stream, "HTTP/1.1 200 OK", &length(count))?;
    parts(count).try_for_each(|part| stream.write_all(part))
}

fn write_chunked(mut stream: &TcpStream, count: usize) -> io::Result<()> {
    let fields = super::headers(&[("transfer-encoding", "chunked")]);
    http1::write_head(&mut stream, "HTTP/1.1 200 OK", &fields)?;
    parts(count).try_for_each(|part| http1::write_chunk(&mut stream, part).map(|_| ()))?;
    http1::write_last_chunk(&mut stream, &Headers::new()).map(|_| ())
}

/// So many bytes, in parts.
fn parts(count: usize) -> impl Iterator<Item = &'static [u8]> {
    static PARTS: [u8; PART] = [b'b'; PART];
    let whole = std::iter::repeat_n(PARTS.as_slice(), count / PART);
    whole.chain(PARTS.get(..count % PART).filter(|part| !part.is_empty()))
}
