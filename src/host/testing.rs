//! A stream and a process made of plain data: for tests, benchmarks and fuzzing of guests without a proxy.
//!
//! Fields are public; set them, run a guest, look at them. Nothing here is used by the library itself. What a guest
//! does again and again costs no allocation, so that benchmarks measure the host and not its fakes.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::calls::{Command, Request, Start};
use super::stream::{
    Headers, LifeSpan, MetadataSource, MetadataValue, MetricUpdate, NoProperty, Refusal, Services, Stream,
};
use super::types::{Direction, HeaderMap, MetricType};
use crate::telemetry::Level;
use crate::telemetry::stats::Stat;

/// Names and values in order; `None`: there is no such map.
pub type Pairs = Option<Vec<(Vec<u8>, Vec<u8>)>>;

/// A call: cluster, headers, body.
pub type FakeCall = (String, Vec<(Vec<u8>, Vec<u8>)>, Vec<u8>);

/// A stream made of plain data.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// What becomes of calls that are started here. `None`: the process has to start them.
    pub start: Option<Start>,
    /// Calls that were started: cluster, headers, body.
    pub calls: Vec<FakeCall>,
    /// Whether the stream can be woken.
    pub is_wakeable: bool,
    /// How often it was.
    pub wakes: Cell<usize>,
    /// Metadata: whose, namespace, key, value.
    pub metadata: Vec<(MetadataSource, Vec<u8>, Vec<u8>, MetadataValue)>,
    /// How long the last filter state is kept.
    pub last_span: LifeSpan,
    /// How many child spans there were.
    pub spans: u32,
    /// What else the proxy was told, in order.
    pub told: Vec<String>,
}

/// Pairs from text, for the fields above.
pub fn pairs(list: &[(&str, &str)]) -> Pairs {
    Some(list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect())
}

impl FakeStream {
    fn tell(&mut self, what: &str, arguments: &[&[u8]]) {
        let arguments = arguments.iter().map(|argument| format!(" {}", argument.escape_ascii()));
        self.told.push(what.to_owned() + &arguments.collect::<String>());
    }

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

    fn set_property(&mut self, path: &[u8], value: &[u8], span: LifeSpan) -> bool {
        if self.read_only.iter().any(|read_only| read_only == path) {
            return false;
        }
        self.properties.insert(path.to_vec(), value.to_vec());
        self.last_span = span;
        true
    }

    fn set_filter_state_object(&mut self, name: &[u8], text: &[u8], span: LifeSpan) -> Result<(), Refusal> {
        if !name.starts_with(b"envoy.") {
            return Err(Refusal::NoSuch);
        }
        self.last_span = span;
        self.tell("object", &[name, text]);
        Ok(())
    }

    fn metadata(&mut self, source: MetadataSource, namespace: &[u8], key: &[u8]) -> Option<MetadataValue> {
        let mut values = self.metadata.iter();
        values
            .find(|(from, name, own, _)| (*from, name.as_slice(), own.as_slice()) == (source, namespace, key))
            .map(|(.., value)| value.clone())
    }

    fn metadata_keys(&mut self, source: MetadataSource, namespace: Option<&[u8]>) -> Vec<Vec<u8>> {
        let values = self.metadata.iter().filter(|(from, ..)| *from == source);
        let mut names: Vec<Vec<u8>> = match namespace {
            Some(wanted) => {
                values.filter(|(_, name, ..)| name == wanted).map(|(_, _, key, _)| key.clone()).collect()
            }
            None => values.map(|(_, name, ..)| name.clone()).collect(),
        };
        names.dedup();
        names
    }

    fn set_metadata(&mut self, namespace: &[u8], key: &[u8], value: &MetadataValue) -> Result<(), Refusal> {
        self.metadata.push((MetadataSource::Dynamic, namespace.to_vec(), key.to_vec(), value.clone()));
        Ok(())
    }

    fn set_span_tag(&mut self, child: Option<u32>, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        if child.is_some_and(|child| child > self.spans) {
            return Err(Refusal::NoSuch);
        }
        self.tell(&format!("tag of {}", child.unwrap_or(0)), &[key, value]);
        Ok(())
    }

    fn log_to_span(&mut self, event: &[u8]) -> Result<(), Refusal> {
        self.tell("event", &[event]);
        Ok(())
    }

    fn start_child_span(&mut self, operation: &[u8]) -> Result<u32, Refusal> {
        self.spans = self.spans.saturating_add(1);
        self.tell("child", &[operation]);
        Ok(self.spans)
    }

    fn finish_child_span(&mut self, child: u32) -> Result<(), Refusal> {
        if child > self.spans {
            return Err(Refusal::NoSuch);
        }
        self.tell(&format!("end of {child}"), &[]);
        Ok(())
    }

    fn override_upstream_host(&mut self, host: &[u8], is_strict: bool) -> Result<(), Refusal> {
        if !host.contains(&b':') {
            return Err(Refusal::Invalid);
        }
        self.tell(if is_strict { "strict host" } else { "host" }, &[host]);
        Ok(())
    }

    fn clear_route_cache(&mut self) {
        self.route_cache_clears = self.route_cache_clears.saturating_add(1);
    }

    fn start_call(&mut self, request: &Request) -> Start {
        self.calls.push((request.cluster.clone(), request.headers.clone(), request.body.clone()));
        self.start.unwrap_or(Start::NotHere)
    }

    fn can_wake(&self) -> bool {
        self.is_wakeable
    }

    fn wake(&self) {
        self.wakes.set(self.wakes.get().saturating_add(1));
    }

    fn update_metric(&mut self, services: &FakeServices, metric: &FakeMetric, update: MetricUpdate) -> bool {
        services.update_metric(metric, update);
        true
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
    /// How much time passes with each look at the clock that never goes back.
    pub pace: AtomicU64,
    /// The process makes no calls.
    pub is_without_calls: bool,
    /// Commands for calls that no stream has in hand, and whose VM they are.
    pub commands: Mutex<Vec<(u64, Command)>>,
    /// Metrics by name; of Graft's own, with the values of their labels.
    pub metrics: Mutex<BTreeMap<String, FakeMetric>>,
    /// How often the process was asked to show metrics that were changed without a stream.
    pub publications: AtomicU64,
    /// A guest's line makes the process panic, as a fault of ours would.
    pub is_faulty: AtomicBool,
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
        if self.is_faulty.load(Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        self.lines.lock().push((level, String::from_utf8_lossy(line).into_owned()));
    }

    fn realtime_nanoseconds(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn monotonic_nanoseconds(&self) -> u64 {
        let pace = self.pace.load(Ordering::Relaxed);
        if pace > 0 { self.now.fetch_add(pace, Ordering::Relaxed) } else { self.now.load(Ordering::Relaxed) }
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

    fn publish_metrics(&self) {
        self.publications.fetch_add(1, Ordering::Relaxed);
    }

    fn stat(&self, stat: Stat, labels: &[&str]) -> FakeMetric {
        Arc::clone(self.metrics.lock().entry(format!("{}.{}", stat.name(), labels.join("."))).or_default())
    }

    fn can_call(&self) -> bool {
        !self.is_without_calls
    }

    fn submit(&self, vm: u64, commands: Vec<Command>) {
        self.commands.lock().extend(commands.into_iter().map(|command| (vm, command)));
    }

    fn read_metric(&self, metric: &FakeMetric) -> u64 {
        u64::try_from(metric.load(Ordering::Relaxed)).unwrap_or(0)
    }
}
