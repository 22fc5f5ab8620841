//! Records between the queue and the collector, and what the user configures.

use std::collections::VecDeque;

use serde::Deserialize;

/// What the user configures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The cluster of the collector.
    pub cluster: String,
    /// The collector's host name; the cluster's name if it is not given.
    #[serde(default)]
    pub authority: Option<String>,
    /// Where batches are posted to.
    #[serde(default = "default_path")]
    pub path: String,
    /// The name of the queue.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// How often a batch is sent.
    #[serde(default = "default_interval")]
    pub interval_ms: u32,
    /// How long the collector may take.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u32,
    /// Most records in a batch.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// Most records that wait here while the collector is away. The oldest go first.
    #[serde(default = "default_backlog")]
    pub backlog: usize,
}

fn default_path() -> String {
    "/records".to_owned()
}

fn default_queue() -> String {
    "records".to_owned()
}

fn default_interval() -> u32 {
    1000
}

fn default_timeout() -> u32 {
    5000
}

fn default_batch() -> usize {
    500
}

fn default_backlog() -> usize {
    10_000
}

impl Configuration {
    /// Reads a configuration; the error says what is wrong with it.
    ///
    /// # Errors
    /// What is no JSON, has unknown or missing fields, or a number that cannot work.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let own: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if own.cluster.is_empty() || !own.path.starts_with('/') {
            return Err("cluster must not be empty, and path begins with /".to_owned());
        }
        if own.interval_ms == 0 || own.timeout_ms == 0 || own.batch == 0 {
            return Err("interval_ms, timeout_ms and batch must not be 0".to_owned());
        }
        if own.backlog < own.batch {
            return Err(format!("backlog: {} is less than a batch of {}", own.backlog, own.batch));
        }
        Ok(own)
    }
}

/// Records that wait, and the batch that is on its way.
///
/// One batch is under way at a time: a collector that is slow gets larger batches and not more of them. A batch stays
/// here until the collector has confirmed it, so it may arrive twice but is not lost with one answer.
#[derive(Debug)]
pub struct Backlog {
    records: VecDeque<Vec<u8>>,
    batch: usize,
    limit: usize,
    /// How many of the first records are on their way.
    sent: usize,
    /// Whether the last batch failed: then the next one waits for [`Self::retry`].
    has_failed: bool,
}

impl Backlog {
    /// An empty one.
    pub fn new(batch: usize, limit: usize) -> Self {
        Self { records: VecDeque::new(), batch, limit, sent: 0, has_failed: false }
    }

    /// Adds a record. `false`: it is full, and the oldest record that is not on its way was dropped for it.
    pub fn add(&mut self, record: Vec<u8>) -> bool {
        self.records.push_back(record);
        if self.records.len() <= self.limit {
            return true;
        }
        self.records.remove(self.sent);
        false
    }

    /// The next batch, a record a line, and how many they are; `None` if there is nothing to send now.
    pub fn next(&mut self) -> Option<(Vec<u8>, usize)> {
        if self.sent > 0 || self.has_failed || self.records.is_empty() {
            return None;
        }
        self.sent = self.records.len().min(self.batch);
        let mut body = Vec::new();
        for record in self.records.iter().take(self.sent) {
            body.extend_from_slice(record);
            body.push(b'\n');
        }
        Some((body, self.sent))
    }

    /// The batch has arrived, or not: then its records go again. Returns how many have arrived.
    pub fn finish(&mut self, has_arrived: bool) -> usize {
        let sent = std::mem::take(&mut self.sent);
        self.has_failed = !has_arrived;
        if !has_arrived {
            return 0;
        }
        self.records.drain(..sent);
        sent
    }

    /// Some time has passed: what failed may go again.
    pub fn retry(&mut self) {
        self.has_failed = false;
    }

    /// Whether a whole batch waits and could go.
    pub fn is_due(&self) -> bool {
        self.sent == 0 && !self.has_failed && self.records.len() >= self.batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(batch: usize, limit: usize, records: std::ops::Range<u8>) -> Backlog {
        let mut backlog = Backlog::new(batch, limit);
        records.for_each(|record| {
            backlog.add(vec![b'a' + record]);
        });
        backlog
    }

    #[test]
    fn records_go_in_batches_in_their_order() {
        let mut backlog = backlog(2, 10, 0..3);
        assert!(backlog.is_due());
        assert_eq!(backlog.next(), Some((b"a\nb\n".to_vec(), 2)));
        assert_eq!(backlog.next(), None, "one batch at a time");
        assert_eq!(backlog.finish(true), 2);
        assert!(!backlog.is_due());
        assert_eq!(backlog.next(), Some((b"c\n".to_vec(), 1)));
        assert_eq!(backlog.finish(true), 1);
        assert_eq!(backlog.next(), None);
    }

    #[test]
    fn a_batch_that_did_not_arrive_goes_again_later() {
        let mut backlog = backlog(2, 10, 0..3);
        let first = backlog.next();
        assert_eq!(backlog.finish(false), 0);
        assert!(!backlog.is_due(), "a collector that fails is not asked again at once");
        assert_eq!(backlog.next(), None);
        backlog.retry();
        assert_eq!(backlog.next(), first);
    }

    #[test]
    fn the_backlog_is_bounded_and_what_is_on_its_way_stays() {
        let mut backlog = backlog(2, 4, 0..4);
        assert!(backlog.next().is_some());
        assert!(!backlog.add(b"e".to_vec()));
        assert_eq!(backlog.finish(true), 2);
        assert_eq!(backlog.next(), Some((b"d\ne\n".to_vec(), 2)), "c was the oldest that could go");
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        for wrong in [
            "",
            "{}",
            r#"{"cluster": ""}"#,
            r#"{"cluster": "c", "path": "records"}"#,
            r#"{"cluster": "c", "interval_ms": 0}"#,
            r#"{"cluster": "c", "timeout_ms": 0}"#,
            r#"{"cluster": "c", "batch": 0}"#,
            r#"{"cluster": "c", "batch": 10, "backlog": 9}"#,
            r#"{"cluster": "c", "typo": 1}"#,
        ] {
            assert!(Configuration::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert_eq!(Configuration::read(br#"{"cluster": "c"}"#).unwrap().batch, 500);
    }
}
