//! A web server on loopback that does what it is told, right or wrong: each connection has one request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use tokio::net::TcpSocket;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What the server does.
#[derive(Clone)]
pub enum Reply {
    /// An answer as it should be.
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
    /// These bytes, and then zeros for ever.
    Endless(Vec<u8>),
    /// These bytes, and then an `a` each 20 ms.
    Drip(Vec<u8>),
    /// Nothing at all.
    Silence,
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).with_body(body)
    }

    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn redirect(to: impl Into<String>) -> Self {
        Self::status(302).with("location", to)
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.into()));
        }
        self
    }

    pub fn with_body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            *body = bytes.into();
        }
        self
    }
}

type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A certificate for 127.0.0.1, and that of the authority that has made it.
pub struct Tls {
    config: Arc<ServerConfig>,
    pub authority: String,
}

impl Tls {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        Self { config: Arc::new(config), authority: authority.pem() }
    }
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(None, false, Arc::new(handler))
    }

    /// A server that waits on if somebody speaks TLS to it.
    pub fn start_patient(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(None, true, Arc::new(handler))
    }

    pub fn start_tls(tls: &Tls, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(Some(Arc::clone(&tls.config)), false, Arc::new(handler))
    }

    fn serve(tls: Option<Arc<ServerConfig>>, is_patient: bool, handler: Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, ends) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stop) = (Arc::clone(&requests), Arc::clone(&ends));
        let handshakes = Arc::new(Mutex::new(Vec::new()));
        let all_kinds = Arc::clone(&handshakes);
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (connection, tls) = (connection.unwrap(), tls.clone());
                let (handler, log, stop) = (Arc::clone(&handler), Arc::clone(&log), Arc::clone(&stop));
                let kinds = Arc::clone(&all_kinds);
                std::thread::spawn(move || {
                    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                    match tls {
                        Some(config) => {
                            let tls = ServerConnection::new(config).unwrap();
                            let mut stream = StreamOwned::new(tls, connection);
                            exchange(&mut stream, &handler, &log, &stop);
                            kinds.lock().unwrap().extend(stream.conn.handshake_kind());
                        }
                        None if is_patient && speaks_tls(&connection) => {
                            while !stop.load(Ordering::Relaxed) {
                                std::thread::sleep(Duration::from_millis(20));
                            }
                        }
                        None => exchange(&mut &connection, &handler, &log, &stop),
                    }
                });
            }
        });
        Self { address, requests, handshakes, ends, thread: Some(thread) }
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn https(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Ends. Its port stays taken, and nobody listens there.
    pub fn leave(self) -> TcpSocket {
        let address = self.address;
        drop(self);
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        socket
    }

    /// How connections began, in the order in which they ended. One that is over for its client may be missing.
    pub fn handshakes(&self) -> Vec<HandshakeKind> {
        self.handshakes.lock().unwrap().clone()
    }

    /// `GET /x`, and so on.
    pub fn log(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn exchange(
    stream: &mut (impl Read + Write),
    handler: &Handler,
    log: &Mutex<Vec<Request>>,
    ends: &AtomicBool,
) {
    let Some(request) = read(stream) else {
        // Somebody speaks TLS to a server that does not.
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"));
        return;
    };
    log.lock().unwrap().push(request.clone());
    // Whoever hangs up in between has his reasons.
    drop(write(stream, &request, handler(&request), ends));
    drop(stream.flush());
}

fn speaks_tls(connection: &TcpStream) -> bool {
    let mut first = [0];
    matches!(connection.peek(&mut first), Ok(1)) && first[0] == 0x16
}

fn read(stream: &mut impl Read) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 || byte[0] == 0x16 && bytes.is_empty() {
            return None;
        }
        bytes.push(byte[0]);
    }
    let text = String::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut request = Request { method, path, headers, body: String::new() };
    let length: usize = request.header("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    Some(request)
}

fn write(stream: &mut impl Write, request: &Request, reply: Reply, ends: &AtomicBool) -> std::io::Result<()> {
    match reply {
        Reply::Answer { status, headers, body } => {
            let mut head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                head = format!("{head}{name}: {value}\r\n");
            }
            stream.write_all(format!("{head}\r\n").as_bytes())?;
            if request.method != "HEAD" {
                stream.write_all(&body)?;
            }
        }
        Reply::Raw(bytes) => stream.write_all(&bytes)?,
        Reply::Endless(bytes) => {
            stream.write_all(&bytes)?;
            while !ends.load(Ordering::Relaxed) {
                stream.write_all(&[0; 10_000])?;
            }
        }
        Reply::Drip(bytes) => {
            stream.write_all(&bytes)?;
            while !ends.load(Ordering::Relaxed) {
                stream.write_all(b"a")?;
                stream.flush()?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Reply::Silence => {
            while !ends.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    Ok(())
}
