//! What the host adds to a request: entering a guest, a header, a body, a line that nobody wants.
//!
//! Each benchmark is one pass through the host's public functions, as the bridge calls them, with a guest that does
//! little and a stream and a process made of plain data. That fake answers from vectors without allocating, so
//! what is measured is the host, the compiled guest, and the copies between them; Envoy's own work is not in it.
//! `docs/PERFORMANCE.md` says what to make of it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark that meets the unexpected stops, and its items are nobody's interface"
)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use graft::host::contexts::StreamIndex;
use graft::host::testing::{FakeStream, pairs};
use graft::host::types::Direction;
use graft::telemetry::Level;

#[path = "../tests/host/guest.rs"]
#[allow(dead_code, reason = "the harness of tests/host, of which less is needed here")]
mod guest;

use guest::{Guest, HEAP, Running};

/// A chunk of body as Envoy hands it on from a fast connection.
const BODY: usize = 64 * 1024;

/// A request as browsers send it, in number and length of headers.
fn request() -> FakeStream {
    FakeStream {
        request_headers: pairs(&[
            (":authority", "www.example.com"),
            (":path", "/articles/2024/some-title?utm_source=newsletter&page=2"),
            (":method", "GET"),
            (":scheme", "https"),
            (
                "accept",
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
            ),
            ("accept-encoding", "gzip, deflate, br, zstd"),
            ("accept-language", "en-GB,en;q=0.5"),
            ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"),
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "6f1ed002-ab5f-4f8a-9c2e-3f1d2c4b5a69"),
        ]),
        request_body: (Vec::new(), vec![b'x'; BODY]),
        ..FakeStream::default()
    }
}

/// A guest whose allocator always gives the same place, so that a benchmark runs for ever in the same memory.
fn guest() -> Guest {
    Guest::new().answer("malloc", HEAP, "").memory(r#"(memory (export "memory") 4)"#)
}

/// A VM of a guest with a stream.
fn open(guest: Guest) -> (Running, StreamIndex) {
    let mut running = guest.start();
    let stream = running.open(request());
    (running, stream)
}

fn enter(criterion: &mut Criterion) {
    let (mut running, stream) = open(guest().on("proxy_on_request_headers", ""));
    criterion.bench_function("enter and leave an empty entry point", |bencher| {
        bencher.iter(|| running.vm.on_headers(black_box(stream), Direction::Request, true).unwrap());
    });
    let (mut running, stream) = open(guest());
    criterion.bench_function("an entry point that is not exported", |bencher| {
        bencher.iter(|| running.vm.on_headers(black_box(stream), Direction::Request, true).unwrap());
    });
}

fn streams(criterion: &mut Criterion) {
    let empty = ["proxy_on_context_create", "proxy_on_done", "proxy_on_log", "proxy_on_delete"];
    let (mut running, _) = open(empty.iter().fold(guest(), |guest, name| guest.on(name, "")));
    let root = running.root();
    criterion.bench_function("a stream created, logged and ended", |bencher| {
        let life = |stream| {
            let stream = running.vm.create_stream(root, stream).unwrap();
            running.vm.on_log(stream).unwrap();
            running.vm.end_stream(stream);
        };
        bencher.iter_batched(FakeStream::default, life, BatchSize::SmallInput);
    });
}

fn headers(criterion: &mut Criterion) {
    let read = r#"(drop (call $proxy_get_header_map_value (i32.const 0) (text "user-agent") (i32.const 8) (i32.const 12)))"#;
    let (mut running, stream) = open(guest().on("proxy_on_request_headers", read));
    criterion.bench_function("one header read", |bencher| {
        bencher.iter(|| running.vm.on_headers(black_box(stream), Direction::Request, true).unwrap());
    });

    let all = "(drop (call $proxy_get_header_map_pairs (i32.const 0) (i32.const 8) (i32.const 12)))";
    let (mut running, stream) = open(guest().on("proxy_on_request_headers", all));
    criterion.bench_function("all twelve headers read", |bencher| {
        bencher.iter(|| running.vm.on_headers(black_box(stream), Direction::Request, true).unwrap());
    });

    // Names of different lengths, which the fake tells apart at a glance.
    let writes: String = (1..=10)
        .map(|length| {
            let name = format!("x-{}", "n".repeat(length));
            format!(
                r#"(drop (call $proxy_replace_header_map_value (i32.const 0) (text "{name}") (text "a value of some length")))"#
            )
        })
        .collect();
    let (mut running, stream) = open(guest().on("proxy_on_request_headers", &writes));
    criterion.bench_function("ten header writes", |bencher| {
        bencher.iter(|| running.vm.on_headers(black_box(stream), Direction::Request, true).unwrap());
    });
}

fn bodies(criterion: &mut Criterion) {
    let body = "(drop (call $proxy_get_buffer_bytes (i32.const 0) (i32.const 0) (local.get $1) (i32.const 8) (i32.const 12)))
        (drop (call $proxy_set_buffer_bytes (i32.const 0) (i32.const 0) (local.get $1)
            (i32.load (i32.const 8)) (i32.load (i32.const 12))))";
    let (mut running, stream) = open(guest().on("proxy_on_request_body", body));
    let mut group = criterion.benchmark_group("a body of 64 KiB");
    group.throughput(Throughput::Bytes(u64::try_from(BODY).unwrap()));
    group.bench_function("read and replaced", |bencher| {
        bencher.iter(|| running.vm.on_body(black_box(stream), Direction::Request, true).unwrap());
    });
    group.finish();
}

fn logs(criterion: &mut Criterion) {
    let line =
        r#"(drop (call $proxy_log (i32.const 1) (text "a line that is of no interest to anybody today")))"#;
    let (mut running, stream) = open(guest().log_level(Level::Info).on("proxy_on_request_headers", line));
    criterion.bench_function("a log line below the level", |bencher| {
        bencher.iter(|| running.vm.on_headers(black_box(stream), Direction::Request, true).unwrap());
    });
}

fn properties(criterion: &mut Criterion) {
    let read = r#"(drop (call $proxy_get_property (text "plugin_root_id") (i32.const 8) (i32.const 12)))"#;
    let (mut running, stream) =
        open(guest().named("plugin", "a-root-id", "").on("proxy_on_request_headers", read));
    criterion.bench_function("one property read", |bencher| {
        bencher.iter(|| running.vm.on_headers(black_box(stream), Direction::Request, true).unwrap());
    });
}

fn metrics(criterion: &mut Criterion) {
    let count = "(drop (call $proxy_increment_metric (i32.load (i32.const 32)) (i64.const 1)))";
    let define = r#"(drop (call $proxy_define_metric (i32.const 0) (text "requests") (i32.const 32)))"#;
    let (mut running, stream) =
        open(guest().on("proxy_on_configure", define).on("proxy_on_request_headers", count));
    criterion.bench_function("one metric incremented", |bencher| {
        bencher.iter(|| running.vm.on_headers(black_box(stream), Direction::Request, true).unwrap());
    });
}

fn starts(criterion: &mut Criterion) {
    let linked = guest().link().unwrap();
    criterion.bench_function("a VM started from its template", |bencher| {
        bencher.iter(|| graft::host::vm::Vm::start(black_box(&linked.template)).unwrap());
    });
}

criterion_group!(benches, enter, streams, headers, bodies, logs, properties, metrics, starts);
criterion_main!(benches);
