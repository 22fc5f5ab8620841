//! The environment variables of a VM.
//!
//! A guest asks twice: `environ_sizes_get` for the number of variables and the bytes they need, then
//! `environ_get` with room for both. The strings are the same for every VM of a plugin and never change,
//! so they are prepared once in the form in which they are copied out.
//!
//! Values may be secrets (a host's variables are often tokens), so `Debug` gives their number alone.

use std::fmt;

use super::WasiHost;
use super::guest::{Answer, Errno, Guest};

/// Environment variables, ready to be copied into a guest: `KEY=value` and a 0x00 each, in one piece.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    text: Vec<u8>,
    /// Where in `text` each variable starts, in bytes.
    starts: Vec<usize>,
}

impl Environment {
    /// The environment with `variables` as `(key, value)`, in their order.
    pub fn new<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut environment = Self::default();
        for (key, value) in variables {
            environment.starts.push(environment.text.len());
            environment.text.extend_from_slice(key.as_bytes());
            environment.text.push(b'=');
            environment.text.extend_from_slice(value.as_bytes());
            environment.text.push(0);
        }
        environment
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Environment").field("variables", &self.starts.len()).finish_non_exhaustive()
    }
}

/// `environ_sizes_get`: stores the number of variables at `count` and the bytes they need at `length`.
pub(super) fn sizes<T: WasiHost>(guest: &mut Guest<'_, T>, count: u32, length: u32) -> Answer {
    let environment = guest.host.environment();
    let variables = fit(environment.starts.len())?;
    let bytes = fit(environment.text.len())?;
    guest.memory.check(count, 4)?;
    guest.memory.check(length, 4)?;
    guest.memory.write(count, variables.to_le_bytes())?;
    guest.memory.write(length, bytes.to_le_bytes())
}

/// `environ_get`: copies the variables to `text`, and the address of each to the table at `pointers`.
///
/// Without variables both addresses are ignored: a guest has no room to name.
pub(super) fn variables<T: WasiHost>(guest: &mut Guest<'_, T>, pointers: u32, text: u32) -> Answer {
    let environment = guest.host.environment();
    if environment.starts.is_empty() {
        return Ok(());
    }
    let table = fit(environment.starts.len())?.checked_mul(4).ok_or(Errno::OVERFLOW)?;
    guest.memory.check(pointers, table)?;
    guest.memory.slice_mut(text, fit(environment.text.len())?)?.copy_from_slice(&environment.text);

    let (table, _) = guest.memory.slice_mut(pointers, table)?.as_chunks_mut();
    for (pointer, start) in table.iter_mut().zip(&environment.starts) {
        *pointer = text.checked_add(fit(*start)?).ok_or(Errno::FAULT)?.to_le_bytes();
    }
    Ok(())
}

/// A size as the guest reads it. An environment of 4 GiB is an operator's, and no guest has room for it.
fn fit(size: usize) -> Result<u32, Errno> {
    u32::try_from(size).map_err(|_| Errno::OVERFLOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::wasi::testing::Host;

    fn host(variables: &[(&str, &str)]) -> Host {
        Host { environment: Environment::new(variables.iter().copied()), ..Host::default() }
    }

    fn word(memory: &[u8], address: usize) -> u32 {
        u32::from_le_bytes(memory[address..][..4].try_into().unwrap())
    }

    #[test]
    fn the_sizes_count_the_equals_sign_and_the_terminator() {
        let mut memory = [0xff; 16];
        let mut host = host(&[("A", "1"), ("EMPTY", ""), ("LONG", "x=y")]);
        assert_eq!(sizes(&mut Guest::over(&mut memory, &mut host), 0, 8), Ok(()));
        assert_eq!(word(&memory, 0), 3);
        assert_eq!(word(&memory, 8), 4 + 7 + 9);
    }

    #[test]
    fn the_table_points_at_each_string_in_order() {
        let mut memory = [0xff; 64];
        let mut host = host(&[("A", "1"), ("EMPTY", ""), ("LONG", "x=y")]);
        assert_eq!(variables(&mut Guest::over(&mut memory, &mut host), 4, 40), Ok(()));
        assert_eq!([word(&memory, 4), word(&memory, 8), word(&memory, 12)], [40, 44, 51]);
        assert_eq!(&memory[40..60], b"A=1\0EMPTY=\0LONG=x=y\0");
        assert_eq!(memory[..4], [0xff; 4]);
        assert_eq!(memory[16..40], [0xff; 24]);
        assert_eq!(memory[60..], [0xff; 4]);
    }

    #[test]
    fn no_variables_need_no_room() {
        let mut host = host(&[]);
        let mut memory = [0xff; 8];
        assert_eq!(variables(&mut Guest::over(&mut memory, &mut host), u32::MAX, u32::MAX), Ok(()));
        assert_eq!(sizes(&mut Guest::over(&mut memory, &mut host), 0, 4), Ok(()));
        assert_eq!(memory, [0; 8]);
    }

    #[test]
    fn a_bad_address_changes_nothing() {
        let mut host = host(&[("A", "1"), ("B", "2")]);
        for bad in [13, 16, 0x7fff_ffff, u32::MAX] {
            let mut memory = [0xff; 16];
            for (first, second) in [(0, bad), (bad, 0), (bad, bad)] {
                let mut guest = Guest::over(&mut memory, &mut host);
                assert_eq!(sizes(&mut guest, first, second), Err(Errno::FAULT), "{first} {second}");
                assert_eq!(variables(&mut guest, first, second), Err(Errno::FAULT), "{first} {second}");
                assert_eq!(memory, [0xff; 16], "{first} {second}");
            }
        }
    }

    #[test]
    fn printing_an_environment_for_debugging_does_not_print_its_values() {
        let environment = Environment::new([("TOKEN", "secret")]);
        assert_eq!(format!("{environment:?}"), "Environment { variables: 1, .. }");
    }
}
