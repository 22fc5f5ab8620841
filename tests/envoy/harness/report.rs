//! What a load saw, response by response, and what that says about swaps.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::client::Wire;

/// Whether a request was a short one or one that went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Short,
    Long,
}

/// A request and what became of it. Times are since the beginning of the load.
#[derive(Clone, Debug)]
pub struct Sample {
    pub kind: Kind,
    pub wire: Wire,
    pub start: Duration,
    /// When the head of the response was there.
    pub head: Option<Duration>,
    pub end: Duration,
    /// 0 if there was no response head.
    pub status: u16,
    /// The generation that the response's head names.
    pub generation: Option<u32>,
    /// The generation that the upstream saw in the request.
    pub of_request: Option<u32>,
    /// The generation that the response's trailers name.
    pub at_end: Option<u32>,
    /// What went wrong.
    pub failure: Option<String>,
}

impl Sample {
    pub fn took(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    fn is_failed(&self) -> bool {
        self.failure.is_some() || self.status != 200
    }

    /// Whether more than one generation had to do with it.
    fn is_torn(&self) -> bool {
        let others = [self.of_request, self.at_end];
        others.into_iter().flatten().any(|other| Some(other) != self.generation)
    }
}

/// All of them, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub samples: Vec<Sample>,
    /// How long the load was.
    pub time: Duration,
}

impl Report {
    /// Requests that got no response, a broken one, or another than 200.
    pub fn failures(&self) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.is_failed()).collect()
    }

    /// Responses with which more than one generation had to do.
    pub fn torn(&self) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.is_torn()).collect()
    }

    /// Responses of a generation although a later one had answered before the request was begun.
    pub fn out_of_order(&self) -> Vec<&Sample> {
        let mut heads: Vec<_> =
            self.samples.iter().filter_map(|sample| Some((sample.head?, sample.generation?))).collect();
        heads.sort_unstable();
        let mut by_start: Vec<_> = self.samples.iter().collect();
        by_start.sort_unstable_by_key(|sample| sample.start);
        let (mut heads, mut latest) = (heads.into_iter().peekable(), 0);
        let is_late = |sample: &&Sample| {
            while let Some((_, generation)) = heads.next_if(|(head, _)| *head < sample.start) {
                latest = latest.max(generation);
            }
            sample.generation.is_some_and(|generation| generation < latest)
        };
        by_start.into_iter().filter(is_late).collect()
    }

    /// How many responses each generation gave.
    pub fn generations(&self) -> BTreeMap<u32, usize> {
        let mut count = BTreeMap::new();
        for generation in self.samples.iter().filter_map(|sample| sample.generation) {
            *count.entry(generation).or_default() += 1;
        }
        count
    }

    /// When the first response of a generation was there.
    pub fn first_of(&self, generation: u32) -> Option<Duration> {
        let of_it = self.samples.iter().filter(|sample| sample.generation == Some(generation));
        of_it.filter_map(|sample| sample.head).min()
    }

    /// Samples of a kind.
    pub fn of_kind(&self, kind: Kind) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.kind == kind).collect()
    }

    /// The time that so many of a hundred short requests took at most: 50 asks for the median, 100 for the slowest.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut times: Vec<_> = self.of_kind(Kind::Short).into_iter().map(Sample::took).collect();
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        times.get(last * percent / 100).copied().unwrap_or_default()
    }

    /// The slowest of the short requests.
    pub fn slowest(&self) -> Duration {
        self.percentile(100)
    }

    /// Fails the test unless every request was answered by one generation alone.
    pub fn assert_nothing_was_lost(&self) {
        for (what, samples) in [("failed", self.failures()), ("were torn", self.torn())] {
            let some: Vec<_> = samples.iter().take(5).collect();
            assert!(samples.is_empty(), "{} requests {what}, such as {some:#?}\n{self}", samples.len());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (short, long) = (self.of_kind(Kind::Short).len(), self.of_kind(Kind::Long).len());
        write!(
            formatter,
            "{short} requests and {long} streams in {:.1?}: {} failed, {} torn, {} out of order, {} generations; \
             median {:.1?}, 99 % {:.1?}, slowest {:.1?}",
            self.time,
            self.failures().len(),
            self.torn().len(),
            self.out_of_order().len(),
            self.generations().len(),
            self.percentile(50),
            self.percentile(99),
            self.slowest(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(start: u64, head: u64, generation: u32) -> Sample {
        let time = Duration::from_millis;
        Sample {
            kind: Kind::Short,
            wire: Wire::Http1,
            start: time(start),
            head: Some(time(head)),
            end: time(head + 1),
            status: 200,
            generation: Some(generation),
            of_request: Some(generation),
            at_end: None,
            failure: None,
        }
    }

    fn report(samples: Vec<Sample>) -> Report {
        Report { samples, time: Duration::from_secs(1) }
    }

    #[test]
    fn an_old_generation_may_end_what_it_began_and_no_more() {
        let fine = report(vec![sample(0, 10, 1), sample(5, 12, 2), sample(11, 13, 1), sample(13, 14, 2)]);
        assert_eq!(fine.out_of_order().len(), 0);
        fine.assert_nothing_was_lost();
        let wrong = report(vec![sample(5, 12, 2), sample(13, 14, 1)]);
        assert_eq!(wrong.out_of_order().len(), 1);
        assert_eq!(fine.generations(), BTreeMap::from([(1, 2), (2, 2)]));
        assert_eq!(fine.first_of(2), Some(Duration::from_millis(12)));
    }

    #[test]
    fn what_failed_and_what_two_generations_shared_is_found() {
        let failed = Sample { status: 503, ..sample(0, 1, 1) };
        let broken = Sample { failure: Some("reset".to_owned()), ..sample(0, 1, 1) };
        let torn = Sample { at_end: Some(2), ..sample(0, 1, 1) };
        let report = report(vec![failed, broken, torn, sample(0, 7, 1)]);
        assert_eq!((report.failures().len(), report.torn().len()), (2, 1));
        assert_eq!(
            (report.percentile(50), report.slowest()),
            (Duration::from_millis(2), Duration::from_millis(8))
        );
    }
}
