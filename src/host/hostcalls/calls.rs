//! Callouts: `proxy_http_call`, `proxy_grpc_call`, `proxy_grpc_stream`, `proxy_grpc_send`, `proxy_grpc_close`,
//! `proxy_grpc_cancel`.
//!
//! A call belongs to the root context. Made in a callback of a stream, it starts on that stream, whose worker is the
//! shortest way; made anywhere else, the process starts it. What Envoy refuses on the spot is a status; what fails later
//! comes as a reply.

use std::time::Duration;

use super::{Answer, Call};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::host::calls::{self, Command, Kind, NoTarget, Outgoing, Pairs, Refusal, Request, Start, Token};
use crate::host::calls::{CallState, Exchange, Place, Target};
use crate::host::contexts::Context;
use crate::host::pairs;
use crate::host::stream::{MetricUpdate, Services as _, Stream};
use crate::host::types::Status;
use crate::host::vm::State;
use crate::telemetry::Level;
use crate::telemetry::stats::Stat;

#[allow(clippy::too_many_arguments)] // The ABI has them.
pub(super) fn http_call<S: Stream>(
    call: &mut Call<'_, S>,
    cluster: u32,
    cluster_length: u32,
    headers: u32,
    headers_length: u32,
    body: u32,
    body_length: u32,
    trailers: u32,
    trailers_length: u32,
    timeout: u32,
    token_at: u32,
) -> Answer {
    call.check_words(&[token_at])?;
    let timeout = timeout_of(timeout)?;
    let cluster = name(call.read(cluster, cluster_length)?).ok_or(Status::BadArgument)?;
    let mut headers = pairs_of(call.read(headers, headers_length)?);
    let body = call.read(body, body_length)?.to_vec();
    let trailers = pairs_of(call.read(trailers, trailers_length)?);
    call.write_u32(token_at, 0)?;
    let has = |wanted: &[u8]| headers.iter().any(|(name, _)| name == wanted);
    if !(has(b":method") && has(b":path") && (has(b":authority") || has(b"host"))) {
        return Err(Status::BadArgument.into());
    }
    if !body.is_empty() {
        headers.retain(|(name, _)| name != b"content-length");
        headers.push((b"content-length".to_vec(), body.len().to_string().into_bytes()));
    }
    let parts = Parts { cluster, headers, body, trailers, timeout };
    let token = begin(call, Kind::Http, parts, Status::BadArgument)?;
    Ok(call.write_u32(token_at, token.0)?)
}

#[allow(clippy::too_many_arguments)] // The ABI has them.
pub(super) fn grpc_call<S: Stream>(
    call: &mut Call<'_, S>,
    service: u32,
    service_length: u32,
    service_name: u32,
    service_name_length: u32,
    method: u32,
    method_length: u32,
    metadata: u32,
    metadata_length: u32,
    message: u32,
    message_length: u32,
    timeout: u32,
    token_at: u32,
) -> Answer {
    let addressed = Addressed {
        service: (service, service_length),
        service_name: (service_name, service_name_length),
        method: (method, method_length),
        metadata: (metadata, metadata_length),
    };
    begin_grpc(call, addressed, Some((message, message_length, timeout)), token_at)
}

#[allow(clippy::too_many_arguments)] // The ABI has them.
pub(super) fn grpc_stream<S: Stream>(
    call: &mut Call<'_, S>,
    service: u32,
    service_length: u32,
    service_name: u32,
    service_name_length: u32,
    method: u32,
    method_length: u32,
    metadata: u32,
    metadata_length: u32,
    token_at: u32,
) -> Answer {
    let addressed = Addressed {
        service: (service, service_length),
        service_name: (service_name, service_name_length),
        method: (method, method_length),
        metadata: (metadata, metadata_length),
    };
    begin_grpc(call, addressed, None, token_at)
}

/// Where the guest says what to call: addresses and lengths.
#[derive(Clone, Copy)]
struct Addressed {
    service: (u32, u32),
    service_name: (u32, u32),
    method: (u32, u32),
    metadata: (u32, u32),
}

/// Begins a call with its message and its timeout, or a stream without.
fn begin_grpc<S: Stream>(
    call: &mut Call<'_, S>,
    addressed: Addressed,
    message: Option<(u32, u32, u32)>,
    token_at: u32,
) -> Answer {
    call.check_words(&[token_at])?;
    let read = |(address, length): (u32, u32)| call.read(address, length);
    let target = target_of(read(addressed.service)?)?;
    let path = path(read(addressed.service_name)?, read(addressed.method)?);
    let metadata = pairs_of(read(addressed.metadata)?);
    let (kind, body, timeout) = match message {
        Some((message, length, timeout)) => {
            (Kind::GrpcCall, calls::frame(read((message, length))?), timeout_of(timeout)?)
        }
        None => (Kind::GrpcStream, Vec::new(), None),
    };
    call.write_u32(token_at, 0)?;
    let no_cluster = no_cluster(&target);
    let parts = grpc_parts(target, path, metadata, body, timeout).ok_or(no_cluster)?;
    let token = begin(call, kind, parts, no_cluster)?;
    Ok(call.write_u32(token_at, token.0)?)
}

pub(super) fn grpc_send<S: Stream>(
    call: &mut Call<'_, S>,
    token: u32,
    message: u32,
    length: u32,
    end_of_stream: u32,
) -> Answer {
    let token = Token(token);
    let frame = calls::frame(call.read(message, length)?);
    if token.kind() != Kind::GrpcStream {
        return Err(Status::BadArgument.into());
    }
    let state = call.state();
    state.keep(frame.len())?;
    match state.calls.state(token) {
        CallState::UnderWay => {
            let plugin = state.plugin().ok_or(Status::BadArgument)?;
            let outgoing = state.calls.outgoing(frame, &plugin);
            let outgoing = outgoing.map_err(|_excess| over_a_limit(state))?;
            command(call, token, Command::Send(token, outgoing, end_of_stream != 0));
        }
        // The peer has ended: nobody listens, and nobody minds.
        CallState::HalfClosed => {}
        CallState::Unknown => return Err(Status::NotFound.into()),
    }
    Ok(())
}

/// Ends this side: a call is cancelled, a stream told that no more messages come.
pub(super) fn grpc_close<S: Stream>(call: &mut Call<'_, S>, token: u32) -> Answer {
    let token = Token(token);
    match token.kind() {
        Kind::GrpcCall => cancel(call, token),
        Kind::GrpcStream => match call.state().calls.state(token) {
            CallState::UnderWay => {
                command(call, token, Command::Send(token, Outgoing::default(), true));
                Ok(())
            }
            CallState::HalfClosed => {
                call.state().calls.remove(token);
                Ok(())
            }
            CallState::Unknown => Err(Status::NotFound.into()),
        },
        Kind::Http | Kind::Lookup => Err(Status::BadArgument.into()),
    }
}

/// Ends both sides at once; the guest is not told.
pub(super) fn grpc_cancel<S: Stream>(call: &mut Call<'_, S>, token: u32) -> Answer {
    let token = Token(token);
    match token.kind() {
        Kind::GrpcCall | Kind::GrpcStream => cancel(call, token),
        Kind::Http | Kind::Lookup => Err(Status::BadArgument.into()),
    }
}

fn cancel<S: Stream>(call: &mut Call<'_, S>, token: Token) -> Answer {
    match call.state().calls.state(token) {
        CallState::UnderWay => command(call, token, Command::Cancel(token)),
        CallState::HalfClosed => {}
        CallState::Unknown => return Err(Status::NotFound.into()),
    }
    call.state().calls.remove(token);
    Ok(())
}

/// Sends a command to whoever has the call in hand.
fn command<S: Stream>(call: &mut Call<'_, S>, token: Token, command: Command) {
    let state = call.state();
    let place = state.calls.get(token).map_or(Place::Process, |call| call.place);
    let stream = match place {
        Place::Stream(index) => state.contexts.stream_mut(index).map(|stream| (index, stream)),
        Place::Process => None,
    };
    match stream {
        Some((index, stream)) => {
            stream.commands.push(command);
            if state.current != Context::Stream(index) && !state.woken.contains(&index) {
                state.woken.push(index);
            }
        }
        None => state.calls.outbox.push(command),
    }
}

/// What a request consists of, without what the host adds.
struct Parts {
    cluster: String,
    headers: Pairs,
    body: Vec<u8>,
    trailers: Pairs,
    timeout: Option<Duration>,
}

impl Parts {
    fn bytes(&self) -> usize {
        let of = |pairs: &Pairs| {
            pairs.iter().fold(0_usize, |sum, (name, value)| {
                sum.saturating_add(name.len()).saturating_add(value.len())
            })
        };
        self.body.len().saturating_add(of(&self.headers)).saturating_add(of(&self.trailers))
    }
}

/// Starts a call, or has it started.
fn begin<S: Stream>(call: &mut Call<'_, S>, kind: Kind, parts: Parts, no_cluster: Status) -> Answer<Token> {
    let state = call.state();
    let root = state.root_of(state.context()).ok_or(Status::BadArgument)?;
    let plugin = state.plugin().ok_or(Status::BadArgument)?;
    state.keep(parts.bytes())?;
    let (token, held) = state.calls.begin(kind, parts.bytes(), &plugin).ok_or_else(|| over_a_limit(state))?;
    let request = Box::new(Request {
        token,
        kind,
        cluster: parts.cluster,
        headers: parts.headers,
        body: parts.body,
        trailers: parts.trailers,
        is_complete: kind != Kind::GrpcStream,
        timeout: parts.timeout,
        held,
    });
    let origin = match state.context() {
        Context::Stream(index) => Some(index),
        Context::Root(_) | Context::Vm => None,
    };
    let left = call.with_stream(|_, stream| {
        // What a stream starts at its end would end with it.
        let Some(stream) = stream.filter(|stream| !stream.is_logging && !stream.is_done) else {
            return Ok(Some(request));
        };
        match stream.stream.start_call(&request) {
            Start::UnderWay(number) => {
                let exchange = Exchange::new(token, kind, request.held);
                stream.commands.push(Command::Adopt(number, Box::new(exchange)));
                Ok(None)
            }
            Start::Later => {
                stream.commands.push(Command::Start(request));
                Ok(None)
            }
            Start::NotHere => Ok(Some(request)),
            Start::Refused(Refusal::NoCluster) => Err(no_cluster),
            Start::Refused(Refusal::MissingHeaders) => Err(Status::BadArgument),
            Start::Refused(Refusal::Failed) => Err(Status::InternalFailure),
        }
    })?;
    let place = match left {
        Some(request) => {
            process_starts(call, request)?;
            Place::Process
        }
        None => origin.map_or(Place::Process, Place::Stream),
    };
    call.state().calls.add(token, root, origin, place);
    Ok(token)
}

/// The status of what is more than the limits allow. The first one is told of in the log.
pub(super) fn over_a_limit<S: Stream>(state: &mut State<S>) -> Status {
    if !std::mem::replace(&mut state.calls.is_limit_told, true) {
        let limits = state.settings.calls;
        let line = format!(
            "a callout was refused: {} are under way and hold {} bytes; expected at most {} with {} bytes in all \
             (graft.limits: callouts, callout_bytes; told once)",
            state.calls.count(),
            state.calls.held_bytes(),
            limits.calls,
            limits.bytes
        );
        state.log(state.context(), Level::Warn, line.as_bytes());
    }
    if let Some(plugin) = state.plugin() {
        let counter = state.services.stat(Stat::CalloutsRefused, &[&plugin.name]);
        state.services.update_metric(&counter, MetricUpdate::Add(1));
        state.has_changed_metrics = true;
    }
    Status::InternalFailure
}

fn process_starts<S: Stream>(call: &mut Call<'_, S>, request: Box<Request>) -> Answer {
    let state = call.state();
    if !state.services.can_call() {
        let line = "a callout was refused: this Envoy lets only streams make calls before they end, and connections HTTP \
                    calls without trailers; expected 1.38 or later for calls of root contexts and of proxy_on_log \
                    (docs/COMPATIBILITY.md)";
        state.tell_unable(state.context(), line);
        return Err(Status::InternalFailure.into());
    }
    state.calls.outbox.push(Command::Start(request));
    Ok(())
}

fn timeout_of(milliseconds: u32) -> Result<Option<Duration>, Status> {
    // The ABI has it signed.
    let milliseconds = i32::try_from(milliseconds).map_err(|_negative| Status::BadArgument)?;
    let milliseconds = u64::try_from(milliseconds).unwrap_or(0);
    Ok((milliseconds > 0).then(|| Duration::from_millis(milliseconds)))
}

fn name(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn pairs_of(bytes: &[u8]) -> Pairs {
    pairs::decode(bytes).map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect()
}

fn target_of(service: &[u8]) -> Result<Target, Status> {
    calls::target(service).map_err(|error| match error {
        // As in the built-in host, which makes a client for no cluster and fails to call with it.
        NoTarget::NoCluster => Status::InternalFailure,
        NoTarget::Unreadable => Status::ParseFailure,
    })
}

/// What a target without a cluster of this Envoy answers.
fn no_cluster(target: &Target) -> Status {
    if target.is_message { Status::InternalFailure } else { Status::ParseFailure }
}

fn path(service: &[u8], method: &[u8]) -> Vec<u8> {
    [b"/", service, b"/", method].concat()
}

/// The request of Envoy's gRPC client (source/common/grpc/common.cc, `prepareHeaders`).
fn grpc_parts(
    target: Target,
    path: Vec<u8>,
    metadata: Pairs,
    body: Vec<u8>,
    timeout: Option<Duration>,
) -> Option<Parts> {
    let authority = if target.authority.is_empty() { target.cluster.clone() } else { target.authority };
    let mut headers: Pairs = vec![
        (b":method".to_vec(), b"POST".to_vec()),
        (b":path".to_vec(), path),
        (b":authority".to_vec(), authority),
        (b":scheme".to_vec(), b"http".to_vec()),
        (b"te".to_vec(), b"trailers".to_vec()),
        (b"content-type".to_vec(), b"application/grpc".to_vec()),
    ];
    if let Some(timeout) = timeout {
        headers.push((b"grpc-timeout".to_vec(), grpc_timeout(timeout).into_bytes()));
    }
    headers.extend(target.metadata.into_iter().chain(metadata).map(in_text));
    Some(Parts { cluster: name(&target.cluster)?, headers, body, trailers: Pairs::new(), timeout })
}

/// The metadata whose name ends with `-bin` may hold any bytes: on the wire they stand in base64.
fn in_text((name, value): (Vec<u8>, Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
    let value = if name.ends_with(b"-bin") { STANDARD.encode(value).into_bytes() } else { value };
    (name, value)
}

/// At most eight digits and a unit.
fn grpc_timeout(timeout: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let milliseconds = timeout.as_millis();
    if milliseconds <= MOST { format!("{milliseconds}m") } else { format!("{}S", timeout.as_secs()) }
}
