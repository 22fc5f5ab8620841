//! A client for checks: HTTP/1.1 on a connection that is kept, no more than the answers of the benchmark need.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::workloads::REQUEST_HEADERS;

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// `GET /` with the headers of the benchmark and these.
    pub fn get(&mut self, more: &[(&str, &str)]) -> Result<Response> {
        self.get_path("/", more)
    }

    pub fn get_path(&mut self, path: &str, more: &[(&str, &str)]) -> Result<Response> {
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: www.example.com\r\nuser-agent: bench\r\n");
        for (name, value) in REQUEST_HEADERS.iter().chain(more) {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        self.read()
    }

    fn read(&mut self) -> Result<Response> {
        let start = self.line()?;
        let status = start.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| broken(&format!("an answer that begins {start:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new() };
        if response.header("transfer-encoding") == Some("chunked") {
            while let length @ 1.. = self.chunk_length()? {
                self.append(&mut response.body, length)?;
                self.line()?;
            }
            self.line()?;
        } else {
            let length =
                response.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            self.append(&mut response.body, length)?;
        }
        Ok(response)
    }

    fn chunk_length(&mut self) -> Result<usize> {
        let line = self.line()?;
        usize::from_str_radix(&line, 16).map_err(|_| broken(&format!("a chunk that begins {line:?}")))
    }

    fn append(&mut self, body: &mut Vec<u8>, length: usize) -> Result<()> {
        let start = body.len();
        body.resize(start + length, 0);
        self.0.read_exact(body.get_mut(start..).unwrap_or_default())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(broken("the end of the connection"));
        }
        Ok(line.trim_end().to_owned())
    }
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// One request on a connection of its own.
pub fn get(address: SocketAddr, more: &[(&str, &str)]) -> Result<Response> {
    Connection::open(address)?.get(more)
}
