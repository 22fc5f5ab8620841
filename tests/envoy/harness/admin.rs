//! Envoy's admin interface.

use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::http1::{self, Side};
use super::{Headers, PATIENCE, header, headers};

/// Where an Envoy's admin interface listens.
#[derive(Clone, Copy, Debug)]
pub struct Admin(pub SocketAddr);

/// What it answers.
#[derive(Clone, Debug)]
pub struct AdminAnswer {
    pub status: u16,
    pub headers: Headers,
    pub body: String,
}

impl AdminAnswer {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Admin {
    /// The body of `GET path`; `None` while Envoy does not answer.
    pub fn get(self, path: &str) -> Option<String> {
        self.ask("GET", path)
    }

    /// The body of `POST path`.
    pub fn post(self, path: &str) -> Option<String> {
        self.ask("POST", path)
    }

    fn ask(self, method: &str, path: &str) -> Option<String> {
        self.exchange(method, path).map(|answer| answer.body)
    }

    /// The whole answer.
    pub fn exchange(self, method: &str, path: &str) -> Option<AdminAnswer> {
        let mut stream = TcpStream::connect(self.0).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let fields = headers(&[("host", "admin"), ("content-length", "0"), ("connection", "close")]);
        http1::write_head(&mut stream, &format!("{method} {path} HTTP/1.1"), &fields).ok()?;
        let mut reader = BufReader::new(stream);
        let head = http1::read_head(&mut reader).ok()??;
        let body = http1::read_body(&mut reader, &head, Side::Response { to_head: false });
        let status = head.start.split(' ').nth(1)?.parse().ok()?;
        let text = String::from_utf8_lossy(&body.bytes).into_owned();
        body.complete.then_some(AdminAnswer { status, headers: head.headers, body: text })
    }

    /// The address of a listener that is serving.
    pub fn listener(self, name: &str) -> Option<SocketAddr> {
        let text = self.get("/listeners?format=json")?;
        let list: Value = serde_json::from_str(&text).ok()?;
        let found = list["listener_statuses"].as_array()?.iter().find(|listener| listener["name"] == name)?;
        let socket = &found["local_address"]["socket_address"];
        let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
        Some(SocketAddr::new(socket["address"].as_str()?.parse().ok()?, port))
    }
}
