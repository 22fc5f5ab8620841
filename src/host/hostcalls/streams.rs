//! What ends, resumes or redirects a stream: local responses, continue, close, the route cache.
//!
//! All but the route cache could make the proxy call back into us, so they are queued as effects and applied by
//! the stream's owner after the guest returned.

use super::{Answer, Call};
use crate::host::contexts::StreamContext;
use crate::host::pairs;
use crate::host::stream::{Effect, LocalResponse, Stream};
use crate::host::types::{Direction, Status, StreamType};

/// Largest gRPC status that there is; what is above means "none" (SDKs pass -1).
const LAST_GRPC_STATUS: u32 = 16;

#[allow(clippy::too_many_arguments)] // The ABI has them.
pub(super) fn send_local_response<S: Stream>(
    call: &mut Call<'_, S>,
    status: u32,
    details: u32,
    details_length: u32,
    body: u32,
    body_length: u32,
    headers: u32,
    headers_length: u32,
    grpc_status: u32,
) -> Answer {
    call.with_stream(|call, stream| {
        let is_strict = call.state().settings.strict_local_responses;
        let details = call.read(details, details_length)?;
        let body = call.read(body, body_length)?;
        let headers = call.read(headers, headers_length)?;
        match stream.filter(|stream| can_be_answered(stream)) {
            // OK and nothing happens, as in the built-in host, unless the plugin's operator wants to know. So a guest that
            // answers in an endless loop has its bytes held once.
            None if is_strict => return Err(Status::BadArgument.into()),
            None => {}
            Some(stream) => stream.ask(Effect::LocalResponse(Box::new(LocalResponse {
                status,
                details: without_white_space(details),
                body: body.to_vec(),
                headers: pairs::decode(headers)
                    .map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()))
                    .collect(),
                grpc_status: (grpc_status <= LAST_GRPC_STATUS).then_some(grpc_status),
            }))),
        }
        call.state().is_stopped = true;
        Ok(())
    })
}

/// Whether an answer would reach the client: a stream is answered once, and not any more when it is over. A root has none.
fn can_be_answered<S: Stream>(stream: &StreamContext<S>) -> bool {
    !stream.stream.is_connection() && !stream.has_local_response() && !stream.is_logging && !stream.is_done
}

/// Envoy's access log is a line of words.
fn without_white_space(details: &[u8]) -> Vec<u8> {
    details.iter().map(|byte| if byte.is_ascii_whitespace() { b'_' } else { *byte }).collect()
}

pub(super) fn continue_stream<S: Stream>(call: &mut Call<'_, S>, stream: u32) -> Answer {
    match StreamType::try_from(stream)? {
        StreamType::Http(direction) => resume(call, direction, false),
        StreamType::Downstream => resume(call, Direction::Request, true),
        StreamType::Upstream => Err(Status::Unimplemented.into()),
    }
}

pub(super) fn continue_request<S: Stream>(call: &mut Call<'_, S>) -> Answer {
    resume(call, Direction::Request, false)
}

pub(super) fn continue_response<S: Stream>(call: &mut Call<'_, S>) -> Answer {
    resume(call, Direction::Response, false)
}

/// What is no stream of that kind has nothing that waits: OK and nothing happens, as in the built-in host.
fn resume<S: Stream>(call: &mut Call<'_, S>, direction: Direction, of_connection: bool) -> Answer {
    call.with_stream(|_, stream| {
        if let Some(stream) = stream.filter(|stream| stream.stream.is_connection() == of_connection) {
            stream.ask(Effect::Continue(direction));
        }
        Ok(())
    })
}

pub(super) fn close_stream<S: Stream>(call: &mut Call<'_, S>, stream: u32) -> Answer {
    let (direction, of_connection) = match StreamType::try_from(stream)? {
        StreamType::Http(direction) => (direction, false),
        StreamType::Downstream => (Direction::Request, true),
        StreamType::Upstream => (Direction::Response, true),
    };
    call.with_stream(|_, stream| {
        if let Some(stream) = stream.filter(|stream| stream.stream.is_connection() == of_connection) {
            stream.ask(Effect::Close(direction));
        }
        Ok(())
    })
}

pub(super) fn clear_route_cache<S: Stream>(call: &mut Call<'_, S>) -> Answer {
    call.with_stream(|_, stream| {
        if let Some(stream) = stream {
            stream.stream.clear_route_cache();
        }
        Ok(())
    })
}
