//! Work that nobody waits for.

/// What its threads leave to others beyond what the process does: a tenth of the processor where others want it.
const NICENESS: i32 = 10;

/// The most that there is.
const NICEST: i32 = 19;

/// Compiles on threads of their own, `graft:compiler`, to which those that serve do not have to leave their processors.
pub(super) fn compile<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let threads = rayon::ThreadPoolBuilder::new()
        .thread_name(|_number| "graft:compiler".to_owned())
        // Of the thread that calls, on Linux. One that is as important as others compiles, too.
        .start_handler(|_number| {
            let mine = rustix::process::getpriority_process(None).unwrap_or(0);
            let nice = mine.saturating_add(NICENESS).min(NICEST);
            let _as_important = rustix::process::setpriority_process(None, nice);
        })
        .build();
    match threads {
        Ok(threads) => threads.install(work),
        Err(_as_for_everybody) => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_threads_leave_their_processors_to_others() {
        let mine = || rustix::process::getpriority_process(None).unwrap();
        let before = mine();
        assert_eq!(compile(mine), (before + NICENESS).min(NICEST));
        assert_eq!(mine(), before);
        // Also those of a process that leaves them by itself, which this thread stands for.
        let nicer = std::thread::spawn(move || {
            rustix::process::setpriority_process(None, (before + 5).min(NICEST)).unwrap();
            compile(mine)
        });
        assert_eq!(nicer.join().unwrap(), (before + 15).min(NICEST));
    }
}
