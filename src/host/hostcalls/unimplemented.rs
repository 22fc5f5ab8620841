//! Hostcalls that this version does not have yet: callouts, gRPC, ticks, shared data, queues.
//! They are linked, so that plugins which import them load, and answer `UNIMPLEMENTED`.

use super::{Answer, Call};
use crate::host::stream::Stream;
use crate::host::types::Status;

macro_rules! unimplemented {
    ($( $name:ident ( $($parameter:ident),* ); )*) => { $(
        #[allow(clippy::too_many_arguments)] // The ABI has them.
        pub(super) fn $name<S: Stream>(_: &mut Call<'_, S>, $($parameter: u32),*) -> Answer {
            Err(Status::Unimplemented.into())
        }
    )* };
}

unimplemented! {
    three(_a, _b, _c);
}
