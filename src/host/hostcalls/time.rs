//! `proxy_get_current_time_nanoseconds`.

use super::{Answer, Call};
use crate::host::stream::{Services as _, Stream};

pub(super) fn get_current_time<S: Stream>(call: &mut Call<'_, S>, result: u32) -> Answer {
    let now = call.state().services.realtime_nanoseconds();
    Ok(call.write_u64(result, now)?)
}
