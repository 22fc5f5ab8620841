//! When the keys are fetched, and by which of the VMs that share them.
//!
//! All VMs see one state in shared data and change it by compare and swap. Who moves [`State::next`] into the future has
//! taken on the fetch; if that VM dies, the time passes and another one takes it on.

use crate::configuration::Jwks;

/// Milliseconds that a fetch may take longer than its timeout before another VM tries.
const GRACE: u64 = 1000;

/// The number of a change that no value has: hosts count them from 1. Shared data that is not there takes any number, and 0
/// overwrites whatever is there; so of two VMs that begin at once the second would claim what the first has claimed. With
/// this number the first one makes the state, and the second one is told that it came too late.
pub const NOT_THERE: u32 = u32::MAX;

/// What VMs know of the keys. Times are milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// When the keys in shared data were fetched; 0: there are none.
    pub fetched: u64,
    /// When they are to be fetched next.
    pub next: u64,
}

impl State {
    /// As it is kept in shared data. What is no state counts as nothing known.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(fetched), Some(next)) if bytes.len() == 16 => {
                Self { fetched: u64::from_le_bytes(*fetched), next: u64::from_le_bytes(*next) }
            }
            _ => Self::default(),
        }
    }

    /// As it is kept in shared data.
    pub fn to_bytes(self) -> Vec<u8> {
        [self.fetched.to_le_bytes(), self.next.to_le_bytes()].concat()
    }

    /// The state in which this VM has taken on the fetch; `None`: it is not due, or another VM has.
    pub fn claim(self, jwks: &Jwks, now: u64) -> Option<Self> {
        (now >= self.next).then(|| Self { next: now.saturating_add(lease(jwks)), ..self })
    }

    /// The state after a fetch.
    #[must_use]
    pub fn finish(self, jwks: &Jwks, now: u64, has_succeeded: bool) -> Self {
        if has_succeeded {
            Self { fetched: now, next: now.saturating_add(jwks.refresh_seconds.saturating_mul(1000)) }
        } else {
            Self { next: now.saturating_add(retry(jwks)), ..self }
        }
    }

    /// The state in which a fetch is due at once, because a token names a key that is not known. `None`: one is under
    /// way, or the keys are so fresh that another fetch would tell nothing new; anyone can invent names of keys.
    pub fn hasten(self, jwks: &Jwks, now: u64) -> Option<Self> {
        let is_fresh = now < self.fetched.saturating_add(retry(jwks));
        let is_soon = self.next <= now.saturating_add(lease(jwks).max(retry(jwks)));
        (!is_fresh && !is_soon).then_some(Self { next: now, ..self })
    }

    /// Whether it is worth while to wait for other keys.
    pub fn is_about_to_change(self, jwks: &Jwks, now: u64) -> bool {
        self.fetched == 0 || self.next <= now.saturating_add(lease(jwks))
    }
}

fn lease(jwks: &Jwks) -> u64 {
    jwks.timeout_ms.saturating_add(GRACE)
}

fn retry(jwks: &Jwks) -> u64 {
    jwks.retry_seconds.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn jwks() -> Jwks {
        Jwks { timeout_ms: 500, refresh_seconds: 300, retry_seconds: 5, ..Jwks::default() }
    }

    #[test]
    fn one_vm_takes_it_on_and_the_others_wait() {
        let claimed = State::default().claim(&jwks(), NOW).unwrap();
        assert_eq!(State::from_bytes(&claimed.to_bytes()), claimed);
        assert_eq!(claimed.claim(&jwks(), NOW + 1499), None);
        assert!(claimed.claim(&jwks(), NOW + 1500).is_some(), "its VM has died");
        assert!(claimed.is_about_to_change(&jwks(), NOW));
    }

    #[test]
    fn keys_are_fetched_again_when_they_are_old_and_sooner_after_a_failure() {
        let known = State::default().finish(&jwks(), NOW, true);
        assert_eq!(known, State { fetched: NOW, next: NOW + 300_000 });
        assert!(!known.is_about_to_change(&jwks(), NOW));
        assert_eq!(known.claim(&jwks(), NOW + 299_999), None);
        let later = NOW + 300_000;
        let failed = known.claim(&jwks(), later).unwrap().finish(&jwks(), later, false);
        assert_eq!(failed, State { fetched: NOW, next: later + 5000 });
    }

    #[test]
    fn an_unknown_key_hastens_the_fetch_but_not_too_often() {
        let known = State::default().finish(&jwks(), NOW, true);
        assert_eq!(known.hasten(&jwks(), NOW + 4999), None);
        let hastened = known.hasten(&jwks(), NOW + 5000).unwrap();
        assert!(hastened.is_about_to_change(&jwks(), NOW + 5000));
        let claimed = hastened.claim(&jwks(), NOW + 5000).unwrap();
        assert_eq!(claimed.hasten(&jwks(), NOW + 5000), None);
        let failed = claimed.finish(&jwks(), NOW + 5001, false);
        assert_eq!(failed.hasten(&jwks(), NOW + 5002), None);
    }

    #[test]
    fn what_is_no_state_is_nothing_known() {
        for bytes in [&b""[..], b"12345678", b"12345678123456781"] {
            assert_eq!(State::from_bytes(bytes), State::default());
        }
    }
}
