//! The server behind Envoy: callouts of plugins go there, and requests that shall take a while.
//!
//! It runs in the benchmark's own process, so that its time is not in Envoy's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::failure::{Doing as _, Outcome};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";

/// Serves until the process ends. Each answer comes after a pause.
pub fn serve(pause: Duration) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").doing("listening for callouts")?;
    let address = listener.local_addr().doing("the address of the server for callouts")?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, pause));
        }
    });
    Ok(address)
}

/// Answers the requests of a connection; none has a body. An error is Envoy's end, and so ours.
fn answer(stream: TcpStream, pause: Duration) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        match reader.read_line(&mut line) {
            Err(_) | Ok(0) => return,
            Ok(_) if line == "\r\n" => {}
            Ok(_) => continue,
        }
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        if writer.write_all(ANSWER).is_err() {
            return;
        }
    }
}
