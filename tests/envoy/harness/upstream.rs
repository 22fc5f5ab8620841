//! A scripted upstream: it remembers what it was asked and answers what the story says.

use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::admin::Admin;
use super::http1::{self, Side};
use super::pace::Pace;
use super::{Headers, headers, http2};

/// What the upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub trailers: Headers,
    /// Whether it arrived whole.
    pub complete: bool,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Complete,
    /// The connection (HTTP/1) or the stream (HTTP/2) breaks after the chunks.
    Broken,
}

/// A scripted answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Headers,
    /// The parts of the body; Envoy reads one before the next is sent.
    pub chunks: Vec<Vec<u8>>,
    pub trailers: Headers,
    pub finish: Finish,
    /// The body and the trailers are those of the request.
    echo: bool,
}

impl Answer {
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Headers::new(),
            chunks: Vec::new(),
            trailers: Headers::new(),
            finish: Finish::Complete,
            echo: false,
        }
    }

    /// 200, with a body in these parts.
    pub fn ok(chunks: &[&[u8]]) -> Self {
        Self { chunks: chunks.iter().map(|chunk| chunk.to_vec()).collect(), ..Self::status(200) }
    }

    /// 200, with the body and the trailers of the request.
    pub fn echo() -> Self {
        Self { echo: true, ..Self::status(200) }
    }

    /// The same with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn trailers(mut self, trailers: &[(&str, &str)]) -> Self {
        self.trailers = headers(trailers);
        self
    }

    /// Breaks off after the chunks.
    pub fn broken(mut self) -> Self {
        self.finish = Finish::Broken;
        self
    }
}

/// An upstream. It serves until the test process ends.
#[derive(Debug)]
pub struct Upstream {
    name: String,
    address: SocketAddr,
    protocol: Protocol,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    answer: Answer,
    seen: Vec<Seen>,
    pace: Option<Pace>,
    gate: Arc<Gate>,
}

/// What answers wait behind.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<GateState>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    is_shut: bool,
    arrived: usize,
}

impl Gate {
    /// How many requests have come to it.
    pub fn arrived(&self) -> usize {
        self.state().arrived
    }

    /// Lets answers go, those that wait and all others.
    pub fn open(&self) {
        self.state().is_shut = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state();
        state.arrived += 1;
        while state.is_shut {
            state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// An upstream that speaks HTTP/1.1; as a cluster it is called `name`.
    pub fn http1(name: &str) -> Arc<Self> {
        let (upstream, listener) = Self::new(name, Protocol::Http1);
        let server = Arc::clone(&upstream);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.serve(&stream));
            }
        });
        upstream
    }

    /// An upstream that speaks HTTP/2.
    pub fn http2(name: &str) -> Arc<Self> {
        let (upstream, listener) = Self::new(name, Protocol::Http2);
        http2::serve(listener, Arc::clone(&upstream));
        upstream
    }

    fn new(name: &str, protocol: Protocol) -> (Arc<Self>, TcpListener) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("the port");
        let answer = Answer::ok(&[b"from the upstream"]);
        let state = Mutex::new(State { answer, seen: Vec::new(), pace: None, gate: Arc::default() });
        (Arc::new(Self { name: name.to_owned(), address, protocol, state }), listener)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Sets how requests are answered from now on.
    pub fn answer(&self, answer: Answer) {
        self.state().answer = answer;
    }

    /// The same, and the requests that were answered as before, since this was last asked: none is on both sides.
    pub fn turn(&self, answer: Answer) -> Vec<Seen> {
        let mut state = self.state();
        state.answer = answer;
        std::mem::take(&mut state.seen)
    }

    /// Has requests that come from now on wait for their answers (HTTP/1).
    pub fn hold(&self) -> Arc<Gate> {
        let gate =
            Arc::new(Gate { state: Mutex::new(GateState { is_shut: true, arrived: 0 }), ..Gate::default() });
        self.state().gate = Arc::clone(&gate);
        gate
    }

    /// The requests seen since this was last asked.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state().seen)
    }

    /// The one request seen since this was last asked.
    pub fn take_one(&self) -> Seen {
        let mut seen = self.take_seen();
        assert_eq!(seen.len(), 1, "requests at the upstream: {seen:?}");
        seen.remove(0)
    }

    /// Sets the Envoy whose byte counter keeps the chunks of answers apart.
    pub(super) fn serve_behind(&self, admin: Admin) {
        self.state().pace = Some(Pace::of_cluster(admin, &self.name));
    }

    pub(super) fn pace(&self) -> Option<Pace> {
        self.state().pace.clone()
    }

    /// Remembers a request and gives its answer.
    pub(super) fn receive(&self, seen: Seen) -> Answer {
        let mut state = self.state();
        let mut answer = state.answer.clone();
        if answer.echo {
            answer.chunks = if seen.body.is_empty() { Vec::new() } else { vec![seen.body.clone()] };
            answer.trailers.clone_from(&seen.trailers);
        }
        state.seen.push(seen);
        answer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one HTTP/1.1 connection until it ends; how it ends is Envoy's choice.
    fn serve(&self, stream: &TcpStream) {
        // Without it the chunks of an answer would wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        let mut reader = BufReader::new(stream);
        while let Ok(Some(head)) = http1::read_head(&mut reader) {
            let body = http1::read_body(&mut reader, &head, Side::Request);
            // Envoy's own filter, when a plugin creates trailers, sends them after the end of the message.
            // What is no request ends the connection, or it would be taken for the next one's.
            if !head.start.ends_with(" HTTP/1.1") {
                break;
            }
            let mut words = head.start.split(' ').map(str::to_owned);
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let whole = body.complete;
            let answer = self.receive(Seen {
                method: method.clone(),
                path,
                headers: head.headers,
                body: body.bytes,
                trailers: body.trailers,
                complete: whole,
            });
            let gate = Arc::clone(&self.state().gate);
            gate.pass();
            if !whole || self.write_answer(stream, &answer, method == "HEAD").is_err() {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// An error ends the connection, as does an answer that breaks off.
    fn write_answer(&self, mut stream: &TcpStream, answer: &Answer, to_head: bool) -> io::Result<()> {
        let mut fields = answer.headers.clone();
        let chunked = (!answer.chunks.is_empty() || !answer.trailers.is_empty()) && !to_head;
        let has_length = super::header(&fields, "content-length").is_some();
        match (chunked, has_length) {
            (true, false) => fields.push(("transfer-encoding".to_owned(), "chunked".to_owned())),
            (false, false) => fields.push(("content-length".to_owned(), "0".to_owned())),
            (_, true) => {}
        }
        let pace = self.pace();
        let mut position = pace.as_ref().map_or(0, Pace::position);
        let start = format!("HTTP/1.1 {} Scripted", answer.status);
        position += http1::write_head(&mut stream, &start, &fields)? as u64;
        if !chunked {
            return Ok(());
        }
        for chunk in &answer.chunks {
            if let Some(pace) = &pace {
                pace.wait_for(position);
            }
            position += if has_length {
                io::Write::write_all(&mut stream, chunk)?;
                chunk.len()
            } else {
                http1::write_chunk(&mut stream, chunk)?
            } as u64;
        }
        if let Some(pace) = &pace {
            pace.wait_for(position);
        }
        if answer.finish == Finish::Broken {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if has_length { Ok(()) } else { http1::write_last_chunk(&mut stream, &answer.trailers).map(|_| ()) }
    }
}
