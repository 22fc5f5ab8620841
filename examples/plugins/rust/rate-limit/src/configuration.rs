//! What the user configures.

use serde::Deserialize;

use crate::bucket::Rate;

/// Most buckets: each is created when the plugin starts.
const MOST_BUCKETS: u32 = 65_536;

/// What the user configures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Whose value tells clients apart. Without it all requests share a bucket.
    #[serde(default)]
    pub header: Option<String>,
    /// So many requests may pass ...
    pub requests: u32,
    /// ... in so many seconds.
    #[serde(default = "default_seconds")]
    pub seconds: u32,
    /// So many of them at once; as many as `requests` if it is not given.
    #[serde(default)]
    pub burst: Option<u32>,
    /// How many buckets there are. Clients whose names fall on the same one share it.
    #[serde(default = "default_buckets")]
    pub buckets: u32,
    /// Limits with the same name and VM id share their buckets.
    #[serde(default = "default_name")]
    pub name: String,
}

fn default_seconds() -> u32 {
    1
}

fn default_buckets() -> u32 {
    1024
}

fn default_name() -> String {
    "rate-limit".to_owned()
}

impl Configuration {
    /// Reads a configuration; the error says what is wrong with it.
    ///
    /// # Errors
    /// What is no JSON, has unknown or missing fields, or a number that cannot work.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let own: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let numbers = [("requests", own.requests), ("seconds", own.seconds), ("burst", own.burst())];
        if let Some((name, _)) = numbers.iter().find(|(_, number)| *number == 0) {
            return Err(format!("{name}: 0 would let nothing pass"));
        }
        if !(1..=MOST_BUCKETS).contains(&own.buckets) {
            return Err(format!("buckets: {} is not from 1 to {MOST_BUCKETS}", own.buckets));
        }
        Ok(own)
    }

    fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.requests)
    }

    /// How large a bucket is, and how fast it fills.
    pub fn rate(&self) -> Rate {
        Rate::new(self.requests, self.seconds, self.burst())
    }

    /// The keys of all buckets in shared data.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        let count = if self.header.is_some() { self.buckets } else { 1 };
        (0..count).map(|number| self.key(number))
    }

    /// The key of a client's bucket.
    pub fn key_of(&self, client: &[u8]) -> String {
        let count = if self.header.is_some() { self.buckets } else { 1 };
        let number = hash(client) % u64::from(count.max(1));
        self.key(u32::try_from(number).unwrap_or_default())
    }

    fn key(&self, number: u32) -> String {
        format!("{}/{number}", self.name)
    }
}

/// FNV-1a, with its bits mixed at the end so that the remainder is even. It only has to be the same in every VM.
fn hash(bytes: &[u8]) -> u64 {
    let plain = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed: u64 = plain ^ (plain >> 32);
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_client_has_one_of_the_buckets_and_clients_spread_over_them() {
        let own = Configuration::read(br#"{"requests": 1, "header": "x-key", "buckets": 64}"#).unwrap();
        let keys: BTreeSet<String> = own.keys().collect();
        assert_eq!(keys.len(), 64);
        let used: BTreeSet<String> =
            (0..1000).map(|id| own.key_of(format!("client-{id}").as_bytes())).collect();
        assert_eq!(used, keys);
    }

    #[test]
    fn without_a_header_there_is_one_bucket() {
        let own = Configuration::read(br#"{"requests": 1, "name": "all"}"#).unwrap();
        assert_eq!(own.keys().collect::<Vec<_>>(), ["all/0"]);
        assert_eq!(own.key_of(b"anyone"), "all/0");
    }

    #[test]
    fn a_burst_is_as_large_as_the_limit_if_nothing_else_is_said() {
        let own = Configuration::read(br#"{"requests": 10, "seconds": 60}"#).unwrap();
        assert_eq!(own.rate(), Rate::new(10, 60, 10));
        let own = Configuration::read(br#"{"requests": 10, "seconds": 60, "burst": 2}"#).unwrap();
        assert_eq!(own.rate(), Rate::new(10, 60, 2));
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        for wrong in [
            "",
            "{}",
            r#"{"requests": 0}"#,
            r#"{"requests": -1}"#,
            r#"{"requests": 1, "seconds": 0}"#,
            r#"{"requests": 1, "burst": 0}"#,
            r#"{"requests": 1, "buckets": 0}"#,
            r#"{"requests": 1, "buckets": 65537}"#,
            r#"{"requests": 1, "typo": 1}"#,
        ] {
            assert!(Configuration::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
