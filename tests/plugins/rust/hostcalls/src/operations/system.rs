//! Logs, clocks, the environment, timers and foreign functions.

use std::io::Write as _;

use super::{Answer, bytes_answer, quote};
use crate::abi;
use crate::language::Arguments;

const LEVELS: &[(&str, u32)] =
    &[("trace", 0), ("debug", 1), ("info", 2), ("warn", 3), ("error", 4), ("critical", 5)];

/// 2020-01-01 and 2100-01-01, in nanoseconds since the epoch: between them is a wall clock.
const PLAUSIBLE: std::ops::Range<u64> = 1_577_836_800_000_000_000..4_102_444_800_000_000_000;

pub fn log(arguments: &Arguments) -> Result<Answer, String> {
    let (level, message) = (arguments.named(0, LEVELS)?, arguments.bytes(1));
    // SAFETY: the message is alive.
    Ok(Answer::status(unsafe { abi::proxy_log(level, message.as_ptr(), message.len()) }))
}

pub fn log_level(_: &Arguments) -> Result<Answer, String> {
    let mut level = u32::MAX;
    // SAFETY: the output is a local.
    let status = unsafe { abi::proxy_get_log_level(&raw mut level) };
    Ok(Answer::output(status, level))
}

pub fn stdout(arguments: &Arguments) -> Result<Answer, String> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(arguments.bytes(0)).and_then(|()| out.flush());
    Ok(Answer::status(written.map_or(1, |()| abi::OK)))
}

pub fn stderr(arguments: &Arguments) -> Result<Answer, String> {
    Ok(Answer::status(std::io::stderr().write_all(arguments.bytes(0)).map_or(1, |()| abi::OK)))
}

pub fn time(_: &Arguments) -> Result<Answer, String> {
    let mut time = 0;
    // SAFETY: the output is a local.
    let status = unsafe { abi::proxy_get_current_time_nanoseconds(&raw mut time) };
    Ok(Answer::output(
        status,
        if PLAUSIBLE.contains(&time) { "plausible".to_owned() } else { format!("{time}") },
    ))
}

/// A WASI clock: 0 is the wall clock, 1 the monotonic one.
pub fn clock(arguments: &Arguments) -> Result<Answer, String> {
    let clock = arguments.word(0)?;
    let mut time = 0;
    // SAFETY: the output is a local.
    let errno = unsafe { abi::clock_time_get(clock, 1, &raw mut time) };
    let plausible = if clock == 0 { PLAUSIBLE.contains(&time) } else { time > 0 };
    Ok(Answer::output(errno, if plausible { "plausible" } else { "not plausible" }.to_owned()))
}

/// Bytes from WASI's `random_get`: of 16 and more, not all are zero.
pub fn random(arguments: &Arguments) -> Result<Answer, String> {
    let mut bytes = vec![0; arguments.word(0)? as usize];
    // SAFETY: the buffer is alive and of this size.
    let errno = unsafe { abi::random_get(bytes.as_mut_ptr(), bytes.len()) };
    let written = bytes.iter().any(|byte| *byte != 0);
    Ok(Answer::output(errno, if written { "written" } else { "zeros" }.to_owned()))
}

pub fn environment(_: &Arguments) -> Result<Answer, String> {
    let mut variables: Vec<_> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    variables.sort();
    Ok(Answer::value(abi::OK, format!("[{}]", variables.join(", "))))
}

pub fn foreign(arguments: &Arguments) -> Result<Answer, String> {
    let (name, input) = (arguments.bytes(0), arguments.bytes(1));
    Ok(bytes_answer(
        // SAFETY: name and input are alive, the outputs are the caller's.
        |result, size| unsafe {
            abi::proxy_call_foreign_function(
                name.as_ptr(),
                name.len(),
                input.as_ptr(),
                input.len(),
                result,
                size,
            )
        },
        quote,
    ))
}

pub fn tick_period(arguments: &Arguments) -> Result<Answer, String> {
    let period = arguments.word(0)?;
    // SAFETY: no addresses.
    Ok(Answer::status(unsafe { abi::proxy_set_tick_period_milliseconds(period) }))
}
