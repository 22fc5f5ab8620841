//! A token bucket that is one number.
//!
//! A bucket holds a number of tokens, a request takes one, and time fills it up again at a constant rate. All that is
//! to know of it is *when it will be full*: if that is in the past it is full now, and every token taken makes it later
//! by the time that one token needs to come back. One number can be compared and swapped whole, which is what sharing
//! it between workers needs.

/// How large a bucket is, and how fast it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds until a token has come back.
    pub refill: u64,
    /// Nanoseconds until an empty bucket is full.
    pub depth: u64,
}

/// When a bucket is full, in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    full_at: u64,
}

/// What comes of taking a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There was one: the bucket then, and how many are left.
    Token(Bucket, u64),
    /// There is none for so many nanoseconds.
    NoneFor(u64),
}

impl Rate {
    /// `requests` in `seconds`, and `burst` of them at once.
    pub fn new(requests: u32, seconds: u32, burst: u32) -> Self {
        let refill = (u64::from(seconds) * 1_000_000_000).div_ceil(u64::from(requests.max(1)));
        Self { refill, depth: refill.saturating_mul(u64::from(burst)) }
    }
}

impl Bucket {
    /// As it is kept in shared data. What is no bucket counts as a full one.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self { full_at: bytes.try_into().map_or(0, u64::from_le_bytes) }
    }

    /// As it is kept in shared data.
    pub fn to_bytes(self) -> [u8; 8] {
        self.full_at.to_le_bytes()
    }

    /// Takes a token.
    pub fn take(self, rate: Rate, now: u64) -> Taken {
        // A clock that was set back must not shut a client out for longer than an empty bucket takes to fill.
        let latest = now.saturating_add(rate.depth);
        let full_at = self.full_at.clamp(now, latest).saturating_add(rate.refill);
        match full_at.checked_sub(latest) {
            Some(wait) if wait > 0 => Taken::NoneFor(wait),
            _ => Taken::Token(Self { full_at }, (latest - full_at) / rate.refill),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOON: u64 = 1_700_000_000 * SECOND;

    /// Takes what is there at a time, and tells how much it was.
    fn drain(bucket: &mut Bucket, rate: Rate, now: u64) -> u64 {
        let mut count = 0;
        while let Taken::Token(rest, left) = bucket.take(rate, now) {
            *bucket = Bucket::from_bytes(&rest.to_bytes());
            count += 1;
            assert!(left < 1000 && count <= 1000, "{left} left after {count}");
        }
        count
    }

    #[test]
    fn a_new_bucket_is_full_and_a_burst_empties_it() {
        let rate = Rate::new(10, 1, 5);
        assert_eq!(drain(&mut Bucket::default(), rate, NOON), 5);
        assert_eq!(
            Bucket::default().take(rate, NOON),
            Taken::Token(Bucket { full_at: NOON + SECOND / 10 }, 4)
        );
    }

    #[test]
    fn time_brings_tokens_back_and_no_more_than_the_bucket_holds() {
        let rate = Rate::new(10, 1, 5);
        let mut bucket = Bucket::default();
        drain(&mut bucket, rate, NOON);
        assert_eq!(bucket.take(rate, NOON), Taken::NoneFor(SECOND / 10));
        assert_eq!(bucket.take(rate, NOON + SECOND / 10 - 1), Taken::NoneFor(1));
        assert_eq!(drain(&mut bucket, rate, NOON + SECOND / 10), 1);
        assert_eq!(drain(&mut bucket, rate, NOON + SECOND / 2), 4);
        assert_eq!(drain(&mut bucket, rate, NOON + 3600 * SECOND), 5);
    }

    #[test]
    fn over_a_long_time_it_is_the_rate_that_passes() {
        let rate = Rate::new(7, 60, 3);
        let mut bucket = Bucket::default();
        let passed: u64 = (0..3600).map(|second| drain(&mut bucket, rate, NOON + second * SECOND)).sum();
        assert!((7 * 60..=7 * 60 + 3).contains(&passed), "{passed} in an hour");
    }

    #[test]
    fn a_clock_that_jumps_back_shuts_nobody_out() {
        let rate = Rate::new(1, 1, 2);
        let mut bucket = Bucket::default();
        drain(&mut bucket, rate, NOON);
        let yesterday = NOON - 86_400 * SECOND;
        assert_eq!(bucket.take(rate, yesterday), Taken::NoneFor(SECOND));
    }

    #[test]
    fn nothing_overflows() {
        for rate in [Rate::new(1, u32::MAX, u32::MAX), Rate::new(u32::MAX, 1, 1), Rate::new(1, 1, u32::MAX)] {
            for now in [0, NOON, u64::MAX] {
                for bucket in [Bucket::default(), Bucket { full_at: u64::MAX }] {
                    bucket.take(rate, now);
                }
            }
        }
    }
}
