//! Foreign functions: what `proxy_call_foreign_function` can call by name.
//!
//! ```text
//!   guest ──name, arguments──► hostcalls/foreign.rs ──Scene──► foreign/<family>.rs ──► Stream (the proxy)
//!         ◄─status, result────
//! ```
//!
//! Those without a prefix are the built-in host's, with its arguments, results and statuses. Those that begin with
//! `graft_` are ours. A function takes bytes and answers bytes; `docs/FOREIGN_FUNCTIONS.md` has the wire form of each,
//! and a test holds that page against the table here.

mod compression;
mod expressions;
mod filter_state;
mod metadata;
mod routing;
mod shared_data;
mod signatures;
mod tracing;

use super::contexts::StreamContext;
use super::pairs;
use super::stream::{Refusal, Stream};
use super::types::Status;
use super::vm::State;

pub(super) use self::expressions::Expressions;
pub(super) use self::filter_state::Declarations;

/// What a function works on: the VM, and the stream that the guest acts for if it acts for one.
pub(super) struct Scene<'a, S: Stream> {
    pub(super) state: &'a mut State<S>,
    pub(super) stream: Option<&'a mut StreamContext<S>>,
}

impl<'a, S: Stream> Scene<'a, S> {
    /// Counts what the proxy is asked to keep with the stream, in this call and in all.
    ///
    /// # Errors
    /// It is more than either may have.
    fn keep(&mut self, bytes: usize) -> Result<(), Status> {
        self.state.keep(bytes)?;
        self.stream.as_mut().map_or(Ok(()), |stream| stream.keep(bytes))
    }

    /// The proxy's side of the stream.
    ///
    /// # Errors
    /// The guest acts for no stream.
    fn stream(self) -> Result<&'a mut S, Status> {
        self.stream.map(|stream| &mut stream.stream).ok_or(Status::NotFound)
    }
}

/// The bytes that a function answers, or why there are none.
pub(super) type Answer = Result<Vec<u8>, Status>;

/// A function.
pub(super) type Function<S> = fn(Scene<'_, S>, &[u8]) -> Answer;

macro_rules! functions {
    ($( $name:literal => $family:ident::$function:ident; )*) => {
        /// The names of all functions.
        pub const NAMES: &[&str] = &[$( $name, )*];

        /// The function of a name.
        pub(super) fn find<S: Stream>(name: &[u8]) -> Option<Function<S>> {
            $( if name == $name.as_bytes() { return Some($family::$function); } )*
            None
        }
    };
}

functions! {
    "compress" => compression::compress;
    "uncompress" => compression::uncompress;
    "clear_route_cache" => routing::clear_route_cache;
    "set_envoy_filter_state" => filter_state::set_envoy_filter_state;
    "declare_property" => filter_state::declare_property;
    "sign" => signatures::sign;
    "verify_signature" => signatures::verify;
    "expr_create" => expressions::create;
    "expr_evaluate" => expressions::evaluate;
    "expr_delete" => expressions::delete;
    "graft_set_metadata" => metadata::set;
    "graft_get_metadata" => metadata::get;
    "graft_set_span_tag" => tracing::set_tag;
    "graft_log_to_span" => tracing::log;
    "graft_start_child_span" => tracing::start_child;
    "graft_finish_child_span" => tracing::finish_child;
    "graft_override_upstream_host" => routing::override_upstream_host;
    "graft_set_shared_data" => shared_data::set;
    "graft_delete_shared_data" => shared_data::delete;
    "graft_list_shared_data" => shared_data::list;
}

/// Pairs in their wire form. None at all are a count of zero.
fn encode_list<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Answer {
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() {
        return Ok(vec![0; 4]);
    }
    let length = pairs::encoded_len(pairs.iter().copied()).map_err(|_large| Status::SerializationFailure)?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    pairs::encode_into(&mut bytes, pairs).map_err(|_large| Status::SerializationFailure)?;
    Ok(bytes)
}

/// An argument that is a number alone.
fn token(argument: &[u8]) -> Result<u32, Status> {
    Ok(u32::from_le_bytes(argument.try_into().map_err(|_other_length| Status::BadArgument)?))
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuch => Self::NotFound,
            Refusal::Invalid => Self::BadArgument,
            // Not UNIMPLEMENTED: the SDKs let a plugin handle few statuses of these calls, and end it for others.
            Refusal::Unavailable => Self::InternalFailure,
        }
    }
}
