//! A stream and a process made of plain data: for tests, benchmarks and fuzzing of guests without a proxy.
//!
//! Fields are public; set them, run a guest, look at them. Nothing here is used by the library itself. What a guest
//! does again and again costs no allocation, so that benchmarks measure the host and not its fakes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::stream::{Headers, MetricUpdate, NoProperty, Services, Stream};
use super::types::{Direction, HeaderMap, MetricType};
use crate::telemetry::Level;

/// Names and values in order; `None`: there is no such map.
pub type Pairs = Option<Vec<(Vec<u8>, Vec<u8>)>>;

/// A stream made of plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeStream {
    /// Request headers.
    pub request_headers: Pairs,
    /// Request trailers.
    pub request_trailers: Pairs,
    /// Response headers.
    pub response_headers: Pairs,
    /// Response trailers.
    pub response_trailers: Pairs,
    /// What was held back of the request body, and the chunk of this hook.
    pub request_body: (Vec<u8>, Vec<u8>),
    /// The same of the response body.
    pub response_body: (Vec<u8>, Vec<u8>),
    /// Properties by path, in their wire form.
    pub properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Paths that cannot be set.
    pub read_only: Vec<Vec<u8>>,
    /// Whether it is a TCP connection, whose bytes are the bodies.
    pub is_connection: bool,
    /// How often the route cache was cleared.
    pub route_cache_clears: usize,
}

/// Pairs from text, for the fields above.
pub fn pairs(list: &[(&str, &str)]) -> Pairs {
    Some(list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect())
}

impl FakeStream {
    fn map(&self, map: HeaderMap) -> &Pairs {
        match map {
            HeaderMap::RequestHeaders => &self.request_headers,
            HeaderMap::RequestTrailers => &self.request_trailers,
            HeaderMap::ResponseHeaders => &self.response_headers,
            HeaderMap::ResponseTrailers => &self.response_trailers,
        }
    }

    fn map_mut(&mut self, map: HeaderMap) -> &mut Pairs {
        match map {
            HeaderMap::RequestHeaders => &mut self.request_headers,
            HeaderMap::RequestTrailers => &mut self.request_trailers,
            HeaderMap::ResponseHeaders => &mut self.response_headers,
            HeaderMap::ResponseTrailers => &mut self.response_trailers,
        }
    }

    fn body(&self, direction: Direction) -> &(Vec<u8>, Vec<u8>) {
        match direction {
            Direction::Request => &self.request_body,
            Direction::Response => &self.response_body,
        }
    }

    fn body_mut(&mut self, direction: Direction) -> &mut (Vec<u8>, Vec<u8>) {
        match direction {
            Direction::Request => &mut self.request_body,
            Direction::Response => &mut self.response_body,
        }
    }

    fn at_hand(&self, direction: Direction, buffered: bool) -> Cow<'_, [u8]> {
        let (held, chunk) = self.body(direction);
        if buffered && !held.is_empty() { [held.as_slice(), chunk].concat().into() } else { chunk.into() }
    }
}

impl Stream for FakeStream {
    type Services = FakeServices;

    fn is_connection(&self) -> bool {
        self.is_connection
    }

    fn has_map(&self, map: HeaderMap) -> bool {
        self.map(map).is_some()
    }

    fn header(&self, map: HeaderMap, name: &[u8]) -> Option<&[u8]> {
        let pairs = self.map(map).as_ref()?;
        pairs.iter().find(|pair| pair.0.eq_ignore_ascii_case(name)).map(|pair| pair.1.as_slice())
    }

    fn headers(&self, map: HeaderMap) -> Headers<'_> {
        self.map(map).iter().flatten().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
    }

    fn header_count(&self, map: HeaderMap) -> usize {
        self.map(map).as_ref().map_or(0, Vec::len)
    }

    fn add_header(&mut self, map: HeaderMap, name: &[u8], value: &[u8]) -> bool {
        let Some(pairs) = self.map_mut(map) else { return false };
        pairs.push((name.to_ascii_lowercase(), value.to_vec()));
        true
    }

    fn set_header(&mut self, map: HeaderMap, name: &[u8], value: &[u8]) -> bool {
        let Some(pairs) = self.map_mut(map) else { return false };
        let Some(first) = pairs.iter().position(|pair| pair.0.eq_ignore_ascii_case(name)) else {
            return self.add_header(map, name, value);
        };
        if let Some(pair) = pairs.get_mut(first) {
            pair.1.clear();
            pair.1.extend_from_slice(value);
        }
        let rest = first.saturating_add(1);
        while let Some(extra) = pairs.iter().skip(rest).position(|pair| pair.0.eq_ignore_ascii_case(name)) {
            pairs.remove(rest.saturating_add(extra));
        }
        true
    }

    fn remove_header(&mut self, map: HeaderMap, name: &[u8]) -> bool {
        let Some(pairs) = self.map_mut(map) else { return false };
        pairs.retain(|pair| !pair.0.eq_ignore_ascii_case(name));
        true
    }

    fn body_len(&self, direction: Direction, buffered: bool) -> usize {
        self.at_hand(direction, buffered).len()
    }

    fn copy_body(&self, direction: Direction, buffered: bool, start: usize, target: &mut [u8]) -> usize {
        let body = self.at_hand(direction, buffered);
        let rest = body.get(start..).unwrap_or_default();
        let length = rest.len().min(target.len());
        if let (Some(target), Some(rest)) = (target.get_mut(..length), rest.get(..length)) {
            target.copy_from_slice(rest);
        }
        length
    }

    fn replace_body(&mut self, direction: Direction, buffered: bool, length: usize, bytes: &[u8]) -> bool {
        let (held, chunk) = self.body_mut(direction);
        if buffered {
            chunk.splice(..0, held.drain(..));
        }
        chunk.drain(..length.min(chunk.len()));
        chunk.extend_from_slice(bytes);
        chunk.rotate_right(bytes.len());
        true
    }

    fn append_body(&mut self, direction: Direction, _buffered: bool, bytes: &[u8]) -> bool {
        self.body_mut(direction).1.extend_from_slice(bytes);
        true
    }

    fn property(&mut self, path: &[u8], value: &mut Vec<u8>) -> Result<(), NoProperty> {
        value.extend_from_slice(self.properties.get(path).ok_or(NoProperty::Absent)?);
        Ok(())
    }

    fn set_property(&mut self, path: &[u8], value: &[u8]) -> bool {
        if self.read_only.iter().any(|read_only| read_only == path) {
            return false;
        }
        self.properties.insert(path.to_vec(), value.to_vec());
        true
    }

    fn clear_route_cache(&mut self) {
        self.route_cache_clears = self.route_cache_clears.saturating_add(1);
    }

    fn update_metric(&mut self, services: &FakeServices, metric: &FakeMetric, update: MetricUpdate) {
        services.update_metric(metric, update);
    }
}

/// A metric with its value; a histogram has the sum of what was recorded.
pub type FakeMetric = Arc<AtomicI64>;

/// A process made of plain data.
#[derive(Debug, Default)]
pub struct FakeServices {
    /// Lines of guests and about them, in order.
    pub lines: Mutex<Vec<(Level, String)>>,
    /// The lowest level that is on; `None`: all.
    pub level: Option<Level>,
    /// What both clocks say, in nanoseconds.
    pub now: AtomicU64,
    /// Metrics by name.
    pub metrics: Mutex<BTreeMap<String, FakeMetric>>,
}

impl FakeServices {
    /// Lines so far, without their levels.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().iter().map(|(_, line)| line.clone()).collect()
    }

    /// The value of a metric; `None`: it was not defined.
    pub fn metric(&self, name: &str) -> Option<i64> {
        self.metrics.lock().get(name).map(|metric| metric.load(Ordering::Relaxed))
    }
}

impl Services for FakeServices {
    type Metric = FakeMetric;

    fn is_log_enabled(&self, level: Level) -> bool {
        self.level.is_none_or(|lowest| level >= lowest)
    }

    fn log_level(&self) -> Option<Level> {
        Some(self.level.unwrap_or(Level::Trace))
    }

    fn log(&self, level: Level, line: &[u8]) {
        self.lines.lock().push((level, String::from_utf8_lossy(line).into_owned()));
    }

    fn realtime_nanoseconds(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn monotonic_nanoseconds(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn define_metric(&self, _kind: MetricType, name: &str) -> FakeMetric {
        Arc::clone(self.metrics.lock().entry(name.to_owned()).or_default())
    }

    fn update_metric(&self, metric: &FakeMetric, update: MetricUpdate) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        match update {
            MetricUpdate::Add(value) | MetricUpdate::Record(value) => {
                metric.fetch_add(signed(value), Ordering::Relaxed);
            }
            MetricUpdate::Subtract(value) => {
                metric.fetch_sub(signed(value), Ordering::Relaxed);
            }
            MetricUpdate::Set(value) => metric.store(signed(value), Ordering::Relaxed),
        }
    }

    fn read_metric(&self, metric: &FakeMetric) -> u64 {
        u64::try_from(metric.load(Ordering::Relaxed)).unwrap_or(0)
    }
}
