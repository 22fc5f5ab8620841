//! A load of a constant rate: short requests by HTTP/1 and HTTP/2 in turns, and streams that go on until it ends.
//!
//! Connections are kept, as those of real clients are. A request is sent a second time only if the client knows that the first
//! one never left it, since its connection was closed just then. One thread does it all, with little work for each request.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc::channel;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::client::Wire;
use super::eventually;
use super::http2::Frames;
use super::report::{Kind, Report, Sample};
use super::steady_upstream::REQUEST_GENERATION;
use crate::support::wasm::GENERATION;

/// After this time a short request counts as failed.
const GIVE_UP: Duration = Duration::from_secs(30);
/// No load is longer, whatever the test forgets.
const LONGEST: Duration = Duration::from_mins(5);
/// What streams send, and how often.
const PART: &[u8] = b"a part of a stream that goes on";
const PAUSE: Duration = Duration::from_millis(20);

/// A load that was not started.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    address: SocketAddr,
    rate: u32,
    streams: usize,
}

impl Load {
    /// 300 requests a second and two streams of each kind.
    pub fn on(address: SocketAddr) -> Self {
        Self { address, rate: 300, streams: 2 }
    }

    /// How many short requests are begun in a second, whatever becomes of them.
    pub fn rate(mut self, rate: u32) -> Self {
        self.rate = rate;
        self
    }

    /// How many streams go on, by HTTP/1 and as many by HTTP/2.
    pub fn streams(mut self, streams: usize) -> Self {
        self.streams = streams;
        self
    }

    pub fn start(self) -> Running {
        let shared = Arc::<Shared>::default();
        let started = Instant::now();
        let watched = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, run(self, watched, started))
        });
        Running { shared, started, thread: Some(thread) }
    }
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    answered: AtomicUsize,
    /// The highest generation that has answered.
    newest: AtomicU32,
    open_streams: AtomicUsize,
}

/// A load that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    started: Instant,
    thread: Option<JoinHandle<Report>>,
}

impl Running {
    /// The time since the beginning, as the times of samples are.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// How many short requests have ended.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more short requests have ended.
    pub fn await_more(&self, count: usize) {
        let until = self.answered() + count;
        eventually("requests of the load to be answered", || (self.answered() >= until).then_some(()));
    }

    /// Waits until a generation has answered.
    pub fn await_generation(&self, number: u32) {
        eventually(&format!("generation {number} to answer the load"), || {
            (self.shared.newest.load(Ordering::Relaxed) >= number).then_some(())
        });
    }

    /// Waits until so many streams are under way: each has got a part back.
    pub fn await_streams(&self, count: usize) {
        eventually("streams of the load to flow", || {
            (self.shared.open_streams.load(Ordering::Relaxed) >= count).then_some(())
        });
    }

    /// Begins nothing new, has the streams end, and waits for all that is under way.
    pub fn stop(mut self) -> Report {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.thread.take().expect("a load that runs").join().expect("the load does not fail")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Sent = UnsyncBoxBody<Bytes, std::io::Error>;

/// What the tasks of a load share.
struct Client {
    address: SocketAddr,
    started: Instant,
    shared: Arc<Shared>,
    idle_http1: RefCell<Vec<http1::SendRequest<Sent>>>,
    http2: RefCell<Option<http2::SendRequest<Sent>>>,
    connecting: tokio::sync::Mutex<()>,
    samples: RefCell<Vec<Sample>>,
    turns: Cell<usize>,
}

async fn run(load: Load, shared: Arc<Shared>, started: Instant) -> Report {
    let client = Rc::new(Client {
        address: load.address,
        started,
        shared,
        idle_http1: RefCell::default(),
        http2: RefCell::default(),
        connecting: tokio::sync::Mutex::default(),
        samples: RefCell::default(),
        turns: Cell::new(0),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..load.streams {
        for wire in [Wire::Http1, Wire::Http2] {
            tasks.spawn_local(Rc::clone(&client).stream(wire));
        }
    }
    let mut ticks = interval(Duration::from_secs(1) / load.rate.max(1));
    // The rate is kept: what a moment missed is made good for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !client.is_over() {
        ticks.tick().await;
        let turn = client.turns.replace(client.turns.get() + 1);
        if load.rate > 0 {
            let wire = if turn.is_multiple_of(2) { Wire::Http1 } else { Wire::Http2 };
            tasks.spawn_local(Rc::clone(&client).short(wire));
        }
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    Report { samples: client.samples.take(), time: started.elapsed() }
}

impl Client {
    fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::Relaxed) || self.started.elapsed() > LONGEST
    }

    fn begin(&self, kind: Kind, wire: Wire) -> Sample {
        let start = self.started.elapsed();
        Sample {
            kind,
            wire,
            start,
            head: None,
            end: start,
            status: 0,
            generation: None,
            of_request: None,
            at_end: None,
            failure: None,
        }
    }

    async fn short(self: Rc<Self>, wire: Wire) {
        let mut sample = self.begin(Kind::Short, wire);
        let request = head("GET", self.address).body(Empty::new().map_err(never).boxed_unsync());
        let exchange = async {
            let (response, back) = self.send(wire, request.expect("a request")).await?;
            let body = self.read_head(&mut sample, response);
            let length = read(&mut sample, body, |_| {}).await?;
            if let Some(sender) = back {
                self.idle_http1.borrow_mut().push(sender);
            }
            if length == 0 { Err("an empty body".to_owned()) } else { Ok(()) }
        };
        let outcome =
            timeout(GIVE_UP, exchange).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        self.end(sample, outcome);
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// A request whose body goes on until the load ends, and comes back.
    async fn stream(self: Rc<Self>, wire: Wire) {
        let mut sample = self.begin(Kind::Long, wire);
        let (sender, frames) = channel(1);
        let writer = Rc::clone(&self);
        let writing = tokio::task::spawn_local(async move {
            let mut pauses = interval(PAUSE);
            let mut sent = 0;
            while !writer.is_over() {
                pauses.tick().await;
                if sender.send(Ok(Frame::data(Bytes::from_static(PART)))).await.is_err() {
                    break;
                }
                sent += PART.len();
            }
            sent
        });
        let request = head("POST", self.address).body(Frames(frames).boxed_unsync());
        let exchange = async {
            let (response, _) = self.send(wire, request.expect("a request")).await?;
            let body = self.read_head(&mut sample, response);
            let mut is_open = false;
            read(&mut sample, body, |_| {
                if !std::mem::replace(&mut is_open, true) {
                    self.shared.open_streams.fetch_add(1, Ordering::Relaxed);
                }
            })
            .await
        };
        let received = timeout(LONGEST + GIVE_UP, exchange).await;
        let outcome = match received.unwrap_or_else(|_| Err("no end in time".to_owned())) {
            Ok(received) => {
                let sent = writing.await.unwrap_or_default();
                (sent == received).then_some(()).ok_or(format!("{sent} bytes sent, {received} came back"))
            }
            Err(error) => Err(error),
        };
        self.end(sample, outcome);
    }

    fn end(&self, mut sample: Sample, outcome: Result<(), String>) {
        sample.end = self.started.elapsed();
        sample.failure = outcome.err();
        self.samples.borrow_mut().push(sample);
    }

    fn read_head(&self, sample: &mut Sample, response: hyper::Response<Incoming>) -> Incoming {
        sample.head = Some(self.started.elapsed());
        sample.status = response.status().as_u16();
        sample.generation = number(response.headers(), GENERATION);
        sample.of_request = number(response.headers(), REQUEST_GENERATION);
        self.shared.newest.fetch_max(sample.generation.unwrap_or(0), Ordering::Relaxed);
        response.into_body()
    }

    /// Sends a request; again if it never left. The connection, if it has to be kept apart until the response is read.
    async fn send(
        &self,
        wire: Wire,
        mut request: hyper::Request<Sent>,
    ) -> Result<(hyper::Response<Incoming>, Option<http1::SendRequest<Sent>>), String> {
        for _ in 0..10 {
            let (answer, back) = match wire {
                Wire::Http1 => {
                    let mut sender = self.http1().await?;
                    (sender.try_send_request(request).await, Some(sender))
                }
                Wire::Http2 => {
                    let mut sender = self.http2().await?;
                    (sender.try_send_request(request).await, None)
                }
            };
            match answer {
                Ok(response) => return Ok((response, back)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(chain(&error.into_error())),
                },
            }
        }
        Err("ten connections in a row were closed before the request was sent".to_owned())
    }

    async fn http1(&self) -> Result<http1::SendRequest<Sent>, String> {
        loop {
            let idle = self.idle_http1.borrow_mut().pop();
            let Some(mut sender) = idle else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = self.connect().await?;
        let (sender, connection) = http1::handshake(stream).await.map_err(|error| chain(&error))?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }

    async fn http2(&self) -> Result<http2::SendRequest<Sent>, String> {
        // One connection for all, made by whoever finds none.
        let _connecting = self.connecting.lock().await;
        let known = self.http2.borrow().clone();
        if let Some(mut sender) = known
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let stream = self.connect().await?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(|error| chain(&error))?;
        tokio::task::spawn_local(connection);
        *self.http2.borrow_mut() = Some(sender.clone());
        Ok(sender)
    }

    async fn connect(&self) -> Result<TokioIo<TcpStream>, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(TokioIo::new(stream))
    }
}

fn head(method: &str, address: SocketAddr) -> hyper::http::request::Builder {
    hyper::Request::builder().method(method).uri(format!("http://{address}/")).header("host", "example.test")
}

/// Reads a body to its end, and what its trailers say; gives how many bytes it had.
async fn read(
    sample: &mut Sample,
    mut body: Incoming,
    mut part: impl FnMut(&Bytes),
) -> Result<usize, String> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| chain(&error))?.into_data() {
            Ok(data) => {
                part(&data);
                length += data.len();
            }
            Err(frame) => {
                sample.at_end = frame.trailers_ref().and_then(|trailers| number(trailers, GENERATION));
            }
        }
    }
    Ok(length)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn never(infallible: Infallible) -> std::io::Error {
    match infallible {}
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
