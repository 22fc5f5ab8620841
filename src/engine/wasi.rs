//! WASI preview 1, as much of it as Proxy-Wasm plugins need.
//!
//! The libraries that languages bring along expect a small operating system: they print, ask for the
//! time, for random bytes, for environment variables, and probe which files are open. Each of them
//! imports functions that it never calls, and one import that is missing keeps the code from loading. So
//! all 46 functions of the standard are here, with the answers of Envoy's built-in filter. There are no
//! files and no sockets; file descriptors 1 and 2 are log lines, and the clocks tell the time.
//!
//! ```text
//!   guest ── import "wasi_snapshot_preview1" "fd_write" ──► functions! (the table below)
//!                                                             │ one line a function
//!                     WasiHost (the data of the store) ◄──────┤ clock, log, environment
//!                     the guest's memory               ◄──────┘ guest::GuestMemory, checked
//! ```
//!
//! The functions know nothing of Proxy-Wasm: what they need of the host is the trait [`WasiHost`]. They
//! are linked under the name of the standard and under that of the draft before it; both have the same
//! types at the level of Wasm.
//!
//! What differs from the built-in filter (its answers were measured on Envoy 1.40):
//!
//! - A bad address is always answered with `EFAULT`, and before any of the work is done.
//! - One call prints 64 KiB at most, and takes 1,024 pieces at most.
//! - `sock_accept` stores the four bytes of its result, not eight.
//! - Code loads that imports `proc_raise`, which the built-in filter lacks, or `path_link` and
//!   `path_symlink`, which it has with one parameter less than the standard. The filter of Envoy 1.37 lacks more
//!   (`clock_res_get`, for one).

use wasmtime::{Caller, Linker, Memory};

mod environment;
mod guest;
mod output;
#[cfg(test)]
mod standard;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use environment::Environment;
use guest::{Answer, Errno, Guest, number};
pub use output::StandardStream;

/// The module names under which guests import [`FUNCTIONS`]: that of the standard and of its draft.
pub const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// The most bytes that `random_get` gives in one call; a longer request is `EINVAL`.
const MOST_RANDOM: u32 = 64 * 1024;

/// What WASI needs of the data of a store.
///
/// The methods are called while the guest waits, on the thread that runs it.
pub trait WasiHost: 'static {
    /// The memory that the guest exports, resolved once after instantiation; none before.
    fn memory(&self) -> Option<Memory>;

    /// The guest printed `bytes`, of any content, 64 KiB at most; one newline at their end is stripped.
    /// Output is for the log at info, error at error.
    fn write_line(&mut self, stream: StandardStream, bytes: &[u8]);

    /// The variables of the VM.
    fn environment(&self) -> &Environment;

    /// The wall clock: nanoseconds since 1970, UTC.
    fn realtime_nanoseconds(&self) -> u64;

    /// A clock that never goes back: nanoseconds since some start that does not change.
    fn monotonic_nanoseconds(&self) -> u64;

    /// The guest called `function`, which succeeds without doing what it says: `fd_seek`, `fd_close` or
    /// `proc_exit`. A line for the log at trace; without an implementation there is none.
    fn trace(&mut self, function: &'static str) {
        let _ = function;
    }

    /// The guest called `function`, which was linked as denied. Unless implemented, that is a line on
    /// the error stream, in the words of the built-in filter, so that an operator sees what to allow.
    fn log_denied(&mut self, function: &'static str) {
        let line = format!("Attempted call to restricted WASI capability: {function}");
        self.write_line(StandardStream::Error, line.as_bytes());
    }
}

/// Links every function of [`FUNCTIONS`] under each name of [`MODULES`], and the two helpers that
/// Emscripten's code imports from `env`.
///
/// `is_allowed` is asked here, not at the call, with the name of each function, once a module. What it
/// refuses is linked all the same, so that the code loads, but answers `ENOTCAPABLE` when called.
///
/// # Errors
/// When `linker` has one of these names already.
pub fn add_to_linker<T: WasiHost>(
    linker: &mut Linker<T>,
    is_allowed: impl Fn(&str) -> bool,
) -> Result<(), wasmtime::Error> {
    for module in MODULES {
        link_module(linker, module, &is_allowed)?;
    }
    linker.func_wrap("env", "pthread_equal", |left: u32, right: u32| u32::from(left == right))?;
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_memory: u32| {})?;
    Ok(())
}

/// Makes [`FUNCTIONS`] and `link_module` of the table: for each function its name, its parameters with
/// their Wasm types (i32 is `u32`, i64 is `u64`), and what it does with its [`Guest`].
macro_rules! functions {
    (
        // These return an error number.
        answering { $($name:ident($($parameter:ident: $type:ty),*) |$guest:pat_param| $body:expr;)* }
        // These return nothing.
        silent { $($silent:ident($($silent_parameter:ident: $silent_type:ty),*) |$silent_guest:pat_param| $silent_body:expr;)* }
    ) => {
        /// The names of all functions, in the order of the table.
        pub const FUNCTIONS: [&str; 46] = [$(stringify!($name),)* $(stringify!($silent),)*];

        #[allow(unused_variables, reason = "the table names parameters also where the answer needs none")]
        fn link_module<T: WasiHost>(
            linker: &mut Linker<T>,
            module: &str,
            is_allowed: &impl Fn(&str) -> bool,
        ) -> Result<(), wasmtime::Error> {
            $(if is_allowed(stringify!($name)) {
                linker.func_wrap(module, stringify!($name), |mut caller: Caller<'_, T>, $($parameter: $type),*| -> u32 {
                    let body = |$guest: &mut Guest<'_, T>| -> Answer { $body };
                    number(body(&mut Guest::of(&mut caller)))
                })?;
            } else {
                linker.func_wrap(module, stringify!($name), |mut caller: Caller<'_, T>, $($parameter: $type),*| -> u32 {
                    caller.data_mut().log_denied(stringify!($name));
                    number(Err(Errno::NOTCAPABLE))
                })?;
            })*
            $(if is_allowed(stringify!($silent)) {
                linker.func_wrap(module, stringify!($silent), |mut caller: Caller<'_, T>, $($silent_parameter: $silent_type),*| {
                    let body = |$silent_guest: &mut Guest<'_, T>| $silent_body;
                    body(&mut Guest::of(&mut caller));
                })?;
            } else {
                linker.func_wrap(module, stringify!($silent), |mut caller: Caller<'_, T>, $($silent_parameter: $silent_type),*| {
                    caller.data_mut().log_denied(stringify!($silent));
                })?;
            })*
            Ok(())
        }
    };
}

functions! {
    answering {
        // Printing.
        fd_write(fd: u32, pieces: u32, count: u32, written: u32) |guest| output::write(guest, fd, pieces, count, written);
        fd_pwrite(fd: u32, pieces: u32, count: u32, offset: u64, written: u32) |guest| output::write(guest, fd, pieces, count, written);
        fd_fdstat_get(fd: u32, status: u32) |guest| output::status(guest, fd, status);

        // Time and chance.
        clock_time_get(clock: u32, precision: u64, time: u32) |guest| clock_time(guest, clock, time);
        clock_res_get(clock: u32, resolution: u32) |guest| clock_resolution(guest, clock, resolution);
        random_get(bytes: u32, length: u32) |guest| random(guest, bytes, length);

        // The process. There are no arguments, and `args_get` so has nothing to copy.
        environ_get(pointers: u32, text: u32) |guest| environment::variables(guest, pointers, text);
        environ_sizes_get(count: u32, length: u32) |guest| environment::sizes(guest, count, length);
        args_get(pointers: u32, text: u32) |_| Ok(());
        args_sizes_get(count: u32, length: u32) |guest| zero_both(guest, count, length);
        proc_raise(signal: u32) |_| Err(Errno::NOTSUP);
        sched_yield() |_| Ok(());
        // No event ever, at once: Go's scheduler asks until its own timers are due, and takes an error as fatal.
        poll_oneoff(subscriptions: u32, events: u32, count: u32, stored: u32) |guest| guest.memory.write(stored, [0; 4]);

        // File descriptors. Only the two standard streams are open, and they have nothing to set, to
        // flush or to close. That no descriptor is a directory opened beforehand is what programs ask first.
        fd_prestat_get(fd: u32, prestat: u32) |_| Err(Errno::BADF);
        fd_prestat_dir_name(fd: u32, path: u32, length: u32) |_| Err(Errno::NOSYS);
        fd_close(fd: u32) |guest| { guest.host.trace("fd_close"); Ok(()) };
        fd_seek(fd: u32, offset: u64, whence: u32, position: u32) |guest| { guest.host.trace("fd_seek"); Ok(()) };
        fd_tell(fd: u32, position: u32) |guest| open(fd).and_then(|()| guest.memory.write(position, [0; 8]));
        fd_read(fd: u32, pieces: u32, count: u32, read: u32) |_| Err(Errno::NOSYS);
        fd_pread(fd: u32, pieces: u32, count: u32, offset: u64, read: u32) |_| Err(Errno::NOSYS);
        fd_advise(fd: u32, offset: u64, length: u64, advice: u32) |_| Ok(());
        fd_allocate(fd: u32, offset: u64, length: u64) |_| open(fd);
        fd_datasync(fd: u32) |_| open(fd);
        fd_sync(fd: u32) |_| open(fd);
        fd_fdstat_set_flags(fd: u32, flags: u32) |_| Err(Errno::NOSYS);
        fd_fdstat_set_rights(fd: u32, rights: u64, inheriting: u64) |_| open(fd);
        fd_filestat_get(fd: u32, status: u32) |_| Err(Errno::BADF);
        fd_filestat_set_size(fd: u32, size: u64) |_| open(fd);
        fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32) |_| open(fd);
        // The number that the built-in filter answers with; it means «not a directory» on Linux, not here.
        fd_readdir(fd: u32, bytes: u32, length: u32, cookie: u64, read: u32) |guest| zero(guest, read, Errno::EXIST);
        fd_renumber(fd: u32, to: u32) |_| open(fd).and(open(to)).and(Err(Errno::NOTSUP));

        // Paths. No file exists, and none can.
        path_open(fd: u32, lookup: u32, path: u32, length: u32, how: u32, rights: u64, inheriting: u64, flags: u32, opened: u32) |_| Err(Errno::NOENT);
        path_create_directory(fd: u32, path: u32, length: u32) |_| Err(Errno::NOTSUP);
        path_filestat_get(fd: u32, lookup: u32, path: u32, length: u32, status: u32) |_| Err(Errno::NOTSUP);
        path_filestat_set_times(fd: u32, lookup: u32, path: u32, length: u32, accessed: u64, modified: u64, flags: u32) |_| Err(Errno::NOTSUP);
        path_link(fd: u32, lookup: u32, path: u32, length: u32, to: u32, new_path: u32, new_length: u32) |_| Err(Errno::NOTSUP);
        path_readlink(fd: u32, path: u32, length: u32, bytes: u32, room: u32, read: u32) |guest| zero(guest, read, Errno::NOTSUP);
        path_remove_directory(fd: u32, path: u32, length: u32) |_| Err(Errno::NOTSUP);
        path_rename(fd: u32, path: u32, length: u32, to: u32, new_path: u32, new_length: u32) |_| Err(Errno::NOTSUP);
        path_symlink(path: u32, length: u32, fd: u32, new_path: u32, new_length: u32) |_| Err(Errno::NOTSUP);
        path_unlink_file(fd: u32, path: u32, length: u32) |_| Err(Errno::NOTSUP);

        // Sockets. None either; what a call would have received or sent is said to be nothing.
        sock_accept(fd: u32, flags: u32, accepted: u32) |guest| zero(guest, accepted, Errno::NOTSUP);
        sock_recv(fd: u32, pieces: u32, count: u32, flags: u32, read: u32, answer: u32) |guest| received(guest, read, answer);
        sock_send(fd: u32, pieces: u32, count: u32, flags: u32, written: u32) |guest| zero(guest, written, Errno::NOTSUP);
        sock_shutdown(fd: u32, how: u32) |_| Err(Errno::NOTSUP);
    }
    silent {
        // A plugin that exits is still asked about streams: as in the built-in filter, its VM lives on.
        proc_exit(status: u32) |guest| guest.host.trace("proc_exit");
    }
}

/// Whether `fd` is open at all.
fn open(fd: u32) -> Answer {
    StandardStream::of(fd).map(|_| ())
}

/// Stores the time of `clock`. The clocks of the process and of the thread are not offered.
fn clock_time<T: WasiHost>(guest: &mut Guest<'_, T>, clock: u32, time: u32) -> Answer {
    let nanoseconds = match clock {
        0 => guest.host.realtime_nanoseconds(),
        1 => guest.host.monotonic_nanoseconds(),
        _ => return Err(Errno::NOTSUP),
    };
    guest.memory.write(time, nanoseconds.to_le_bytes())
}

/// Stores the resolution of `clock`: one nanosecond, the unit.
fn clock_resolution<T: WasiHost>(guest: &mut Guest<'_, T>, clock: u32, resolution: u32) -> Answer {
    match clock {
        0 | 1 => guest.memory.write(resolution, 1_u64.to_le_bytes()),
        _ => Err(Errno::NOTSUP),
    }
}

/// Fills `length` bytes with randomness of the kernel, fit for keys. None may be asked for anywhere.
fn random<T: WasiHost>(guest: &mut Guest<'_, T>, bytes: u32, length: u32) -> Answer {
    match length {
        0 => Ok(()),
        1..=MOST_RANDOM => getrandom::fill(guest.memory.slice_mut(bytes, length)?).map_err(|_| Errno::IO),
        _ => Err(Errno::INVAL),
    }
}

/// Stores a zero of 32 bits at `result`, and answers `errno`.
fn zero<T: WasiHost>(guest: &mut Guest<'_, T>, result: u32, errno: Errno) -> Answer {
    guest.memory.write(result, [0; 4])?;
    Err(errno)
}

/// Stores a zero of 32 bits at each address.
fn zero_both<T: WasiHost>(guest: &mut Guest<'_, T>, first: u32, second: u32) -> Answer {
    guest.memory.check(second, 4)?;
    guest.memory.write(first, [0; 4])?;
    guest.memory.write(second, [0; 4])
}

/// Stores that a socket gave no bytes (32 bits) and no flags (16 bits).
fn received<T: WasiHost>(guest: &mut Guest<'_, T>, read: u32, answer: u32) -> Answer {
    guest.memory.check(answer, 2)?;
    guest.memory.write(read, [0; 4])?;
    guest.memory.write(answer, [0; 2])?;
    Err(Errno::NOTSUP)
}
