//! TCP: a proxy listener, a client that talks by a script, and an upstream that echoes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::PATIENCE;
use super::config::{Host, Plugin};

/// What a client does on its connection.
#[derive(Clone, Copy, Debug)]
pub enum Say {
    /// Sends bytes.
    Send(&'static str),
    /// Waits until so many bytes have come, all in all.
    Await(usize),
    /// Sends no more, and reads to the end.
    Finish,
    /// Reads to the end.
    AwaitEnd,
}

/// What a client got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub bytes: String,
    /// The other side closed the connection.
    pub is_ended: bool,
}

/// Talks on a new connection, and closes it.
pub fn talk(address: SocketAddr, script: &[Say]) -> Heard {
    let mut stream = TcpStream::connect(address).expect("the listener takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (mut heard, mut is_ended) = (Vec::new(), false);
    for say in script {
        match say {
            // One that was closed meanwhile shows when it is read.
            Say::Send(text) => drop(stream.write_all(text.as_bytes())),
            Say::Await(length) => {
                while heard.len() < *length && !is_ended {
                    is_ended = !read(&mut stream, &mut heard);
                }
            }
            Say::Finish => drop(stream.shutdown(Shutdown::Write)),
            Say::AwaitEnd => {}
        }
        if matches!(say, Say::Finish | Say::AwaitEnd) {
            while !is_ended {
                is_ended = !read(&mut stream, &mut heard);
            }
        }
    }
    Heard { bytes: String::from_utf8_lossy(&heard).into_owned(), is_ended }
}

/// Reads what comes; false at the end.
fn read(stream: &mut TcpStream, to: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(length) => {
            to.extend_from_slice(&buffer[..length]);
            length > 0
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing came in {PATIENCE:?}"),
        Err(_reset) => false,
    }
}

/// A server that sends back what it gets, after `echo:`; at `bye` it closes.
#[derive(Debug)]
pub struct TcpUpstream {
    name: String,
    address: SocketAddr,
    seen: Mutex<String>,
}

impl TcpUpstream {
    pub fn echo(name: &str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let upstream = Arc::new(Self { name: name.to_owned(), address, seen: Mutex::default() });
        let server = Arc::clone(&upstream);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.serve(stream));
            }
        });
        upstream
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.seen.lock().push_str(&text);
            if text.starts_with("bye") || stream.write_all(format!("echo:{text}").as_bytes()).is_err() {
                return;
            }
        }
    }

    /// All that came here since the last time.
    pub fn take_seen(&self) -> String {
        std::mem::take(&mut self.seen.lock())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn cluster(&self) -> Value {
        let socket = json!({ "address": self.address.ip().to_string(), "port_value": self.address.port() });
        json!({
            "name": self.name,
            "connect_timeout": "5s",
            "load_assignment": {
                "cluster_name": self.name,
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": { "socket_address": socket } } }] }],
            },
        })
    }
}

/// A listener on a free port that proxies TCP to a cluster, through plugins.
#[derive(Clone, Debug)]
pub struct TcpProxy {
    name: String,
    cluster: String,
    filters: Vec<Value>,
}

impl TcpProxy {
    pub fn new(name: &str, cluster: &str) -> Self {
        Self { name: name.to_owned(), cluster: cluster.to_owned(), filters: Vec::new() }
    }

    /// Adds a plugin to the end of the chain.
    pub fn plugin(mut self, host: Host, plugin: &Plugin) -> Self {
        self.filters.push(plugin.network_filter(host));
        self
    }

    pub(super) fn to_json(&self) -> Value {
        let mut filters = self.filters.clone();
        filters.push(json!({
            "name": "tcp",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": self.name,
                "cluster": self.cluster,
            },
        }));
        json!({
            "name": self.name,
            "stat_prefix": self.name,
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
            "filter_chains": [{ "filters": filters }],
        })
    }
}
