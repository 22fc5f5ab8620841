//! Back-off: a request that may go well a little later is made again, a few times and never beyond the end of the fetch.

use std::time::Duration;

use super::clock::Clock;
use super::http_error::HttpError;
use crate::config::Retries;

/// Makes a request until it goes well, or fails for good, or has been tried often enough, or time is over. The last failure is
/// the answer.
pub(super) fn retrying<T>(
    retries: Retries,
    is_worth_another: fn(&HttpError) -> bool,
    clock: &dyn Clock,
    deadline: Duration,
    mut attempt: impl FnMut() -> Result<T, HttpError>,
) -> Result<T, HttpError> {
    let mut wait = retries.base_interval;
    let mut left = retries.attempts;
    loop {
        let error = match attempt() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        left = left.saturating_sub(1);
        if left == 0 || !is_worth_another(&error) {
            return Err(error);
        }
        // A server that is asked too soon will only say the same again.
        let pause = clock.spread(wait).max(retry_after(&error));
        if clock.now().saturating_add(pause) >= deadline {
            return Err(error);
        }
        clock.sleep(pause);
        wait = wait.saturating_mul(2).min(retries.max_interval);
    }
}

fn retry_after(error: &HttpError) -> Duration {
    match error {
        HttpError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
        HttpError::Unreachable { .. }
        | HttpError::TimedOut { .. }
        | HttpError::NoTime { .. }
        | HttpError::Forbidden { .. }
        | HttpError::TooManyRedirects { .. }
        | HttpError::Downgrade { .. }
        | HttpError::Lost { .. }
        | HttpError::Tls { .. }
        | HttpError::Malformed { .. }
        | HttpError::Truncated { .. }
        | HttpError::TooLarge { .. } => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::source::http_error::Peer;

    /// A clock that only goes on while somebody sleeps.
    #[derive(Default)]
    struct Dream(Mutex<Vec<Duration>>);

    impl Clock for Dream {
        fn now(&self) -> Duration {
            self.0.lock().iter().sum()
        }

        fn sleep(&self, time: Duration) {
            self.0.lock().push(time);
        }
    }

    fn status(status: u16, retry_after: Option<u64>) -> HttpError {
        let retry_after = retry_after.map(Duration::from_secs);
        HttpError::Status { url: "u".to_owned(), status, retry_after, peer: Peer::Registry }
    }

    /// How often a request was made that fails like this, and the waits in between in milliseconds.
    fn tries(error: &HttpError, deadline: u64) -> (u32, Vec<u128>) {
        let (clock, mut count) = (Dream::default(), 0_u32);
        let deadline = Duration::from_secs(deadline);
        let retries = Retries { max_interval: Duration::from_secs(3), ..Retries::default() };
        let result: Result<(), _> = retrying(retries, HttpError::is_retryable, &clock, deadline, || {
            count = count.saturating_add(1);
            Err(error.clone())
        });
        assert_eq!(result.unwrap_err(), *error);
        (count, clock.0.into_inner().iter().map(Duration::as_millis).collect())
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        assert_eq!(tries(&status(503, None), 30), (5, vec![500, 1000, 2000, 3000]));
    }

    #[test]
    fn what_will_not_change_is_not_tried_again() {
        assert_eq!(tries(&status(404, None), 30), (1, vec![]));
    }

    #[test]
    fn a_server_says_when_to_come_back_and_cannot_hold_anybody_beyond_the_deadline() {
        assert_eq!(tries(&status(429, Some(2)), 30), (5, vec![2000, 2000, 2000, 3000]));
        assert_eq!(tries(&status(429, Some(3600)), 30), (1, vec![]));
    }

    #[test]
    fn the_deadline_ends_it() {
        assert_eq!(tries(&status(503, None), 2), (3, vec![500, 1000]));
    }
}
