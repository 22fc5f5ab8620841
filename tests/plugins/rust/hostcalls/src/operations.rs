//! What a line of the script can do: the table of operations, and how an answer is written in the log.

mod buffers;
mod callouts;
mod flow;
mod headers;
mod metrics;
mod properties;
mod shared;
mod streams;
mod system;

use std::ops::RangeInclusive;

use crate::language::Arguments;

pub use buffers::whole as whole_buffer;
pub use flow::Flow;
pub use headers::value as header;

/// Names of the header maps.
pub const MAPS: &[(&str, u32)] = &[
    ("request", 0),
    ("request-trailers", 1),
    ("response", 2),
    ("response-trailers", 3),
    ("grpc-initial", 4),
    ("grpc-trailing", 5),
    ("call", 6),
    ("call-trailers", 7),
];

/// Names of the buffers.
pub const BUFFERS: &[(&str, u32)] = &[
    ("request", 0),
    ("response", 1),
    ("downstream", 2),
    ("upstream", 3),
    ("call", 4),
    ("grpc", 5),
    ("vm-config", 6),
    ("plugin-config", 7),
    ("foreign", 8),
];

/// Names of the directions of a stream.
pub const STREAMS: &[(&str, u32)] = &[("request", 0), ("response", 1), ("downstream", 2), ("upstream", 3)];

/// A hostcall with its arguments. The error is about the script, not from the host.
pub type Hostcall = fn(&Arguments) -> Result<Answer, String>;

/// What an operation is made of.
#[derive(Clone, Copy)]
pub enum Body {
    /// A hostcall: its status is logged.
    Hostcall(Hostcall),
    /// Something about the flow of the callback itself: an action to return, a trap.
    Flow(Flow),
}

/// A status, and the value that came with it.
pub struct Answer {
    status: u32,
    value: Option<String>,
}

impl Answer {
    /// A hostcall that has no outputs.
    pub fn status(status: u32) -> Self {
        Self { status, value: None }
    }

    /// A hostcall with an output to show.
    pub fn value(status: u32, value: String) -> Self {
        Self { status, value: Some(value) }
    }

    /// A hostcall with outputs that say something only if it did what it was asked.
    #[allow(clippy::needless_pass_by_value)]
    pub fn output(status: u32, value: impl ToString) -> Self {
        Self { status, value: (status == crate::abi::OK).then(|| value.to_string()) }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.status)?;
        match &self.value {
            Some(value) => write!(out, " {value}"),
            None => Ok(()),
        }
    }
}

const MANY: usize = usize::MAX;

/// Every operation: its name, how many arguments it takes, and what it does.
const TABLE: &[(&str, RangeInclusive<usize>, Body)] = &[
    ("get", 2..=2, Body::Hostcall(headers::get)),
    ("pairs", 1..=1, Body::Hostcall(headers::pairs)),
    ("size", 1..=1, Body::Hostcall(headers::size)),
    ("add", 2..=3, Body::Hostcall(headers::add)),
    ("replace", 2..=3, Body::Hostcall(headers::replace)),
    ("remove", 2..=2, Body::Hostcall(headers::remove)),
    ("set-pairs", 1..=MANY, Body::Hostcall(headers::set_pairs)),
    ("set-pairs-raw", 2..=2, Body::Hostcall(headers::set_pairs_raw)),
    ("buffer-get", 3..=3, Body::Hostcall(buffers::get)),
    ("buffer-status", 1..=1, Body::Hostcall(buffers::status)),
    ("buffer-set", 3..=4, Body::Hostcall(buffers::set)),
    ("property", 1..=MANY, Body::Hostcall(properties::text)),
    ("property-int", 1..=MANY, Body::Hostcall(properties::integer)),
    ("property-pairs", 1..=MANY, Body::Hostcall(properties::pairs)),
    ("property-size", 1..=MANY, Body::Hostcall(properties::size)),
    ("property-status", 1..=MANY, Body::Hostcall(properties::status)),
    ("set-property", 2..=MANY, Body::Hostcall(properties::set)),
    ("define-metric", 2..=2, Body::Hostcall(metrics::define)),
    ("increment-metric", 2..=2, Body::Hostcall(metrics::increment)),
    ("record-metric", 2..=2, Body::Hostcall(metrics::record)),
    ("get-metric", 1..=1, Body::Hostcall(metrics::get)),
    ("continue", 1..=1, Body::Hostcall(streams::resume)),
    ("continue-later", 1..=1, Body::Hostcall(streams::park)),
    ("continue-parked", 0..=0, Body::Hostcall(streams::resume_parked)),
    ("close", 1..=1, Body::Hostcall(streams::close)),
    ("reply", 1..=2, Body::Hostcall(streams::reply)),
    ("reply-full", 4..=MANY, Body::Hostcall(streams::reply_full)),
    ("effective", 1..=1, Body::Hostcall(streams::effective)),
    ("finish", 0..=0, Body::Hostcall(streams::finish)),
    ("log", 2..=2, Body::Hostcall(system::log)),
    ("log-level", 0..=0, Body::Hostcall(system::log_level)),
    ("stdout", 1..=1, Body::Hostcall(system::stdout)),
    ("stderr", 1..=1, Body::Hostcall(system::stderr)),
    ("time", 0..=0, Body::Hostcall(system::time)),
    ("clock", 1..=1, Body::Hostcall(system::clock)),
    ("random", 1..=1, Body::Hostcall(system::random)),
    ("environment", 0..=0, Body::Hostcall(system::environment)),
    ("foreign", 1..=2, Body::Hostcall(system::foreign)),
    ("tick-period", 1..=1, Body::Hostcall(system::tick_period)),
    ("shared-get", 1..=1, Body::Hostcall(shared::get)),
    ("shared-set", 2..=3, Body::Hostcall(shared::set)),
    ("queue-register", 1..=1, Body::Hostcall(shared::register)),
    ("queue-resolve", 2..=2, Body::Hostcall(shared::resolve)),
    ("enqueue", 1..=1, Body::Hostcall(shared::enqueue)),
    ("dequeue", 0..=0, Body::Hostcall(shared::dequeue)),
    ("http-call", 3..=MANY, Body::Hostcall(callouts::http)),
    ("with-trailers", 0..=MANY, Body::Hostcall(callouts::with_trailers)),
    ("with-metadata", 0..=MANY, Body::Hostcall(callouts::with_metadata)),
    ("grpc-call", 5..=5, Body::Hostcall(callouts::grpc)),
    ("grpc-stream", 3..=3, Body::Hostcall(callouts::grpc_stream)),
    ("grpc-send", 2..=2, Body::Hostcall(callouts::send)),
    ("grpc-cancel", 0..=0, Body::Hostcall(callouts::cancel)),
    ("grpc-close", 0..=0, Body::Hostcall(callouts::close)),
    ("call-status", 0..=0, Body::Hostcall(callouts::status)),
    ("resolve-dns", 1..=1, Body::Hostcall(callouts::resolve)),
    ("return", 1..=1, Body::Flow(Flow::Return)),
    ("return-at-eos", 1..=1, Body::Flow(Flow::ReturnAtEndOfStream)),
    ("panic", 0..=1, Body::Flow(Flow::Panic)),
    ("trap", 0..=0, Body::Flow(Flow::Trap)),
    ("bad-access", 0..=0, Body::Flow(Flow::BadAccess)),
    ("loop", 0..=0, Body::Flow(Flow::Loop)),
    ("recurse", 0..=0, Body::Flow(Flow::Recurse)),
    ("spin", 1..=1, Body::Flow(Flow::Spin)),
    ("grow", 1..=1, Body::Flow(Flow::Grow)),
    ("exit", 1..=1, Body::Flow(Flow::Exit)),
];

/// Finds an operation by its name.
///
/// # Errors
/// Says that there is none, or that it takes another number of arguments.
pub fn find(verb: &str, arguments: usize) -> Result<Body, String> {
    let (_, counts, body) = TABLE
        .iter()
        .find(|(name, ..)| *name == verb)
        .ok_or_else(|| format!("no operation is called {verb:?}"))?;
    if counts.contains(&arguments) {
        Ok(*body)
    } else {
        Err(format!("{verb} wants {counts:?} arguments, not {arguments}"))
    }
}

/// A mark that no host writes, so that outputs that were not written can be told from null.
const UNWRITTEN: usize = 0xdead_beef;

/// Makes a hostcall that answers with bytes, and takes them.
///
/// The first half of the answer is the status. The second tells the four cases apart in which there are no bytes
/// to show: null, an empty value in memory, outputs left alone by a success, and outputs written by a failure.
pub fn take_bytes(hostcall: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> (u32, Result<Vec<u8>, String>) {
    let mut pointer = UNWRITTEN as *mut u8;
    let mut size = UNWRITTEN;
    let status = hostcall(&raw mut pointer, &raw mut size);
    let written = pointer as usize != UNWRITTEN || size != UNWRITTEN;
    let bytes = if status != crate::abi::OK {
        Err(if written { "outputs written".to_owned() } else { String::new() })
    } else if !written {
        Err("outputs not written".to_owned())
    } else if pointer.is_null() {
        Err(if size == 0 { "null" } else { "null with a size" }.to_owned())
    } else {
        let bytes = std::ptr::slice_from_raw_parts_mut(pointer, size);
        // SAFETY: the host got these bytes from `proxy_on_memory_allocate`, which made them a boxed slice of
        // exactly this size and forgot it; nobody else has the address.
        Ok(unsafe { Box::from_raw(bytes) }.into_vec())
    };
    (status, bytes)
}

/// The answer of a hostcall that answers with bytes, the bytes shown as the caller wants.
pub fn bytes_answer(
    hostcall: impl FnOnce(*mut *mut u8, *mut usize) -> u32,
    show: impl FnOnce(&[u8]) -> String,
) -> Answer {
    let (status, bytes) = take_bytes(hostcall);
    match bytes {
        Ok(bytes) => Answer::value(status, show(&bytes)),
        Err(nothing) if nothing.is_empty() => Answer::status(status),
        Err(nothing) => Answer::value(status, format!("({nothing})")),
    }
}

/// Bytes as one can compare them in a log: quoted, escaped, and long ones by their ends, size and hash.
pub fn quote(bytes: &[u8]) -> String {
    const WHOLE: usize = 200;
    const END: usize = 24;
    if bytes.len() <= WHOLE {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    let (head, tail) = (&bytes[..END], &bytes[bytes.len() - END..]);
    format!(
        "\"{}\"...\"{}\" {} bytes #{:08x}",
        head.escape_ascii(),
        tail.escape_ascii(),
        bytes.len(),
        hash(bytes)
    )
}

/// FNV-1a: tells two long bodies apart, nothing more.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
