//! `proxy_log`, `proxy_get_log_level`.

use super::{Answer, Call};
use crate::engine::memory;
use crate::host::stream::{Services as _, Stream};
use crate::host::types::Status;
use crate::telemetry::Level;

/// What `proxy_get_log_level` answers when the logger is off: one above critical, as in Envoy.
const OFF: u32 = 6;

pub(super) fn log<S: Stream>(call: &mut Call<'_, S>, level: u32, message: u32, length: u32) -> Answer {
    let level = Level::try_from(level).map_err(|_unknown| Status::BadArgument)?;
    let (memory, state) = call.memory_and_state();
    let message = memory::read(memory, message, length).ok_or(Status::InvalidMemoryAccess)?;
    state.log(state.context(), level, message);
    Ok(())
}

pub(super) fn get_level<S: Stream>(call: &mut Call<'_, S>, result: u32) -> Answer {
    let level = call.state().services.log_level().map_or(OFF, |level| level as u32);
    Ok(call.write_u32(result, level)?)
}
