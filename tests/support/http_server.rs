//! A small HTTP/1.1 server in this process, which does with a connection whatever a test wants.
//!
//! It reads a request, remembers it, and hands the connection to the test's function, which writes what it likes. Each
//! request has a connection of its own. When the server is dropped, its connections are cut.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::patience::{PATIENCE, within};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub at: Instant,
}

impl Asked {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// User and password of basic authentication.
    pub fn basic_auth(&self) -> Option<(String, String)> {
        use base64::Engine as _;
        let words = self.header("authorization")?.strip_prefix("Basic ")?;
        let text = base64::engine::general_purpose::STANDARD.decode(words).ok()?;
        let (user, password) = std::str::from_utf8(&text).ok()?.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// A parameter of the query, with `%` decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decode(value))
    }
}

fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                u8::from_str_radix(digits, 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The connection on which an answer is written.
#[derive(Debug)]
pub struct Reply<'a> {
    stream: &'a TcpStream,
    is_over: &'a AtomicBool,
}

impl Reply<'_> {
    /// Writes bytes as they are; false if nobody takes them any more.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Writes the head of an answer; the connection is said to end with it.
    pub fn head(&mut self, status: u16, headers: &[(&str, &str)]) -> bool {
        let mut text = format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n");
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        self.write(format!("{text}\r\n").as_bytes())
    }

    /// Writes a whole answer.
    pub fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> bool {
        let length = body.len().to_string();
        let headers = [headers, &[("content-length", length.as_str())]].concat();
        self.head(status, &headers) && self.write(body)
    }

    /// Lets time pass; false if the server ended or the client went meanwhile.
    pub fn wait(&mut self, time: Duration) -> bool {
        let is_gone = || {
            let _ = self.stream.set_nonblocking(true);
            let answer = (&mut &*self.stream).read(&mut [0; 1]);
            let _ = self.stream.set_nonblocking(false);
            self.is_over.load(Ordering::Relaxed) || matches!(answer, Ok(0))
        };
        within(time, || is_gone().then_some(())).is_none()
    }
}

type Handler = dyn Fn(&Asked, &mut Reply<'_>) + Send + Sync;

/// The server.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    connections: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

impl HttpServer {
    /// Starts a server; each request goes to the function, several at once.
    pub fn start(answer: impl Fn(&Asked, &mut Reply<'_>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("the port");
        let shared = Arc::<Shared>::default();
        let server = Arc::clone(&shared);
        let answer: Arc<Handler> = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (server, answer) = (Arc::clone(&server), Arc::clone(&answer));
                std::thread::spawn(move || server.serve(&stream, &*answer));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        self.shared.asked.lock().len()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for connection in self.shared.connections.lock().drain(..) {
            // It may be gone.
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream, answer: &Handler) {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(PATIENCE));
        if let Ok(connection) = stream.try_clone() {
            self.connections.lock().push(connection);
        }
        if let Some(asked) = read_request(stream) {
            self.asked.lock().push(asked.clone());
            answer(&asked, &mut Reply { stream, is_over: &self.is_over });
        }
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// A request with its body, of which nothing is kept; `None` if the client went before it was whole.
fn read_request(stream: &TcpStream) -> Option<Asked> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    // A client that asks for TLS is told at once that there is none.
    if stream.peek(&mut first).ok()? == 0 || first[0] == HANDSHAKE {
        return None;
    }
    let mut lines = BufReader::new(stream);
    let mut line = || {
        let mut text = String::new();
        (lines.read_line(&mut text).ok()? > 0).then(|| text.trim_end().to_owned())
    };
    let start = line()?;
    let mut words = start.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let text = line()?;
        let Some((name, value)) = text.split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let asked = Asked { method, path, headers, at: Instant::now() };
    let length: u64 = asked.header("content-length").map_or(0, |length| length.parse().unwrap_or(0));
    std::io::copy(&mut lines.take(length), &mut std::io::sink()).ok()?;
    Some(asked)
}
