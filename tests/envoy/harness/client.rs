//! A client: a request in the parts that a story wants, and all that came back.

use std::io::BufReader;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::http1::{self, Side};
use super::pace::Pace;
use super::{Headers, header, headers, http2};

/// After this time without an answer a client gives up. Listeners end silent streams earlier.
const GIVE_UP: Duration = Duration::from_secs(20);

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.1, the body chunked.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub wire: Wire,
    pub method: String,
    pub path: String,
    pub headers: Headers,
    /// The parts of the body; Envoy reads one before the next is sent.
    pub chunks: Vec<Vec<u8>>,
    pub trailers: Headers,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 0 if there was no response head.
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub trailers: Headers,
    pub end: End,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing says.
    Complete,
    /// The stream (HTTP/2) was reset, or the connection (HTTP/1) closed, before that.
    Broken,
    /// Nothing came for [`GIVE_UP`].
    Silent,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            wire: Wire::Http1,
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Headers::new(),
            chunks: Vec::new(),
            trailers: Headers::new(),
        }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A POST whose body is sent in these parts.
    pub fn post(path: &str, chunks: &[&[u8]]) -> Self {
        let mut request = Self::new("POST", path);
        request.chunks = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        request
    }

    /// A gRPC call over HTTP/2 with one message.
    pub fn grpc(path: &str) -> Self {
        Self::post(path, &[b"\0\0\0\0\x02hi"])
            .over_http2()
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn trailers(mut self, trailers: &[(&str, &str)]) -> Self {
        self.trailers = headers(trailers);
        self
    }

    pub fn over_http2(mut self) -> Self {
        self.wire = Wire::Http2;
        self
    }

    fn has_body(&self) -> bool {
        !self.chunks.is_empty() || !self.trailers.is_empty()
    }
}

impl Response {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The first value of a trailer.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        header(&self.trailers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn nothing(end: End) -> Self {
        Self { status: 0, headers: Headers::new(), body: Vec::new(), trailers: Headers::new(), end }
    }
}

/// A client of one listener. Every request has a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    pace: Pace,
}

impl Client {
    pub(super) fn new(address: SocketAddr, pace: Pace) -> Self {
        Self { address, pace }
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Response {
        self.send(&Request::get(path))
    }

    /// Sends a request and reads the whole answer.
    pub fn send(&self, request: &Request) -> Response {
        match request.wire {
            Wire::Http1 => self.send_http1(request),
            Wire::Http2 => http2::send(self.address, &self.pace, GIVE_UP, request),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connecting to Envoy");
        stream.set_nodelay(true).expect("an option of the socket");
        stream.set_read_timeout(Some(GIVE_UP)).expect("an option of the socket");
        stream
    }

    fn send_http1(&self, request: &Request) -> Response {
        let stream = self.connect();
        let to_head = request.method == "HEAD";
        // Envoy may answer before it has read the request, and then stop reading: so write apart.
        std::thread::scope(|scope| {
            scope.spawn(|| self.write_http1(&stream, request));
            let response = read_response(&stream, to_head);
            // Whatever the writer still has to say, nobody listens.
            let _ = stream.shutdown(Shutdown::Both);
            response
        })
    }

    /// A write fails if Envoy ended the stream; then the response tells how.
    fn write_http1(&self, mut stream: &TcpStream, request: &Request) -> Option<()> {
        let mut fields = request.headers.clone();
        if header(&fields, "host").is_none() {
            fields.insert(0, ("host".to_owned(), "example.test".to_owned()));
        }
        if request.has_body() && header(&fields, "content-length").is_none() {
            fields.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
        }
        let chunked = header(&fields, "transfer-encoding").is_some();
        let mut position = self.pace.position();
        let start = format!("{} {} HTTP/1.1", request.method, request.path);
        position += http1::write_head(&mut stream, &start, &fields).ok()? as u64;
        for chunk in &request.chunks {
            self.pace.wait_for(position);
            position += if chunked {
                http1::write_chunk(&mut stream, chunk).ok()?
            } else {
                std::io::Write::write_all(&mut stream, chunk).ok()?;
                chunk.len()
            } as u64;
        }
        if chunked {
            self.pace.wait_for(position);
            http1::write_last_chunk(&mut stream, &request.trailers).ok()?;
        }
        Some(())
    }
}

fn read_response(stream: &TcpStream, to_head: bool) -> Response {
    let mut reader = BufReader::new(stream);
    loop {
        let head = match http1::read_head(&mut reader) {
            Ok(Some(head)) => head,
            Ok(None) => return Response::nothing(End::Broken),
            Err(error) => return Response::nothing(end_of(&error)),
        };
        let status = http1::status(&head);
        let body = http1::read_body(&mut reader, &head, Side::Response { to_head });
        if (100..200).contains(&status) {
            continue;
        }
        let end = if body.complete { End::Complete } else { End::Broken };
        return Response { status, headers: head.headers, body: body.bytes, trailers: body.trailers, end };
    }
}

fn end_of(error: &std::io::Error) -> End {
    let timeouts = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
    if timeouts.contains(&error.kind()) { End::Silent } else { End::Broken }
}
