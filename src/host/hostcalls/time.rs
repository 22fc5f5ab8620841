//! `proxy_get_current_time_nanoseconds`, `proxy_set_tick_period_milliseconds`.

use super::{Answer, Call};
use crate::host::stream::{Services as _, Stream};
use crate::host::types::Status;

pub(super) fn get_current_time<S: Stream>(call: &mut Call<'_, S>, result: u32) -> Answer {
    let now = call.state().services.realtime_nanoseconds();
    Ok(call.write_u64(result, now)?)
}

/// The period of the root that the context belongs to, from now on; 0 stops.
pub(super) fn set_tick_period<S: Stream>(call: &mut Call<'_, S>, milliseconds: u32) -> Answer {
    const NANOSECONDS: u64 = 1_000_000;
    let state = call.state();
    let index = state.root_of(state.context()).ok_or(Status::BadArgument)?;
    let root = state.contexts.root_mut(index).ok_or(Status::BadArgument)?;
    root.tick = (milliseconds > 0).then(|| u64::from(milliseconds).saturating_mul(NANOSECONDS));
    state.ticks_changed(index);
    Ok(())
}
