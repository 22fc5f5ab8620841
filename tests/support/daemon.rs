//! A server in a process of its own.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use super::patience::eventually;

/// A process that serves. It is killed when this is dropped; if the test failed, its log is printed first.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program that will listen on an address, and waits until it does. Its output is added to the file `log`.
    pub fn start(name: &str, command: &mut Command, address: SocketAddr, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("a log");
        let errors = output.try_clone().expect("a second handle of the log");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut daemon = Self { child, name: name.to_owned(), log: log.to_owned() };
        eventually(&format!("{name} to listen on {address}"), || {
            let ended = daemon.child.try_wait().expect("the state of the process");
            assert!(ended.is_none(), "{name} ended: {ended:?}");
            TcpStream::connect(address).ok()
        });
        daemon
    }

    /// The identity of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of {}", self.name);
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// An address on which nobody listens, for a server that has to be told its port, and that may go and come again.
///
/// The port is below those that the kernel hands out by itself, so nobody gets it by chance meanwhile.
pub fn free_address() -> SocketAddr {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests in other processes begin elsewhere.
    let beginning = u16::try_from(std::process::id() % u32::from(COUNT)).expect("a small number");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(7);
        let port = FIRST + (beginning.wrapping_mul(97) % COUNT + step % COUNT) % COUNT;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port between {FIRST} and {} is free", FIRST + COUNT);
}
