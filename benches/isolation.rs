//! What a VM for each stream costs: the life of a stream in a shared VM, and in a copy made for it.
//!
//! The guests are plugins that real SDKs built (`make plugins`), because what a copy costs is how much of its memory it
//! touches. `docs/PERFORMANCE.md` says what to make of it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark that meets the unexpected stops, and its items are nobody's interface"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use graft::engine::Engine;
use graft::engine::code::{Code, Effort, Wasm};
use graft::engine::limits::Limits;
use graft::engine::wasi::Environment;
use graft::host::calls::CallLimits;
use graft::host::commons::Commons;
use graft::host::contexts::{Plugin, RootIndex};
use graft::host::template::{Capabilities, Deadlines, Settings, Template};
use graft::host::testing::{FakeServices, FakeStream, pairs};
use graft::host::types::Direction;
use graft::host::vm::{LogLimit, Vm};

/// A plugin, and a configuration that it takes.
const PLUGINS: [(&str, &str); 3] = [
    ("add-header", r#"{"header": "x-served-by", "value": "graft"}"#),
    ("sdk-go", "Hello"),
    ("sdk-assemblyscript", "Hello"),
];

fn settings() -> Settings {
    Settings {
        vm_id: String::new(),
        configuration: Vec::new(),
        environment: Environment::default(),
        limits: Limits { memory_bytes: 1 << 30, table_elements: 100_000 },
        deadlines: Deadlines {
            start: Duration::from_secs(20),
            configure: Duration::from_secs(20),
            call: Duration::from_secs(20),
        },
        capabilities: Capabilities::All,
        strict_local_responses: false,
        calls: CallLimits { calls: 100, bytes: 1024 * 1024 },
        shared_bytes: 1024 * 1024,
        log_limit: LogLimit::new(0),
    }
}

fn plugin(name: &str, configuration: &str) -> Arc<Plugin> {
    Arc::new(Plugin {
        key: 1,
        name: name.to_owned(),
        root_id: name.to_owned(),
        configuration: configuration.as_bytes().to_vec(),
        allow_on_headers_stop_iteration: false,
    })
}

fn request() -> FakeStream {
    FakeStream {
        request_headers: pairs(&[(":authority", "a"), (":path", "/"), (":method", "GET")]),
        response_headers: pairs(&[(":status", "200"), ("server", "envoy")]),
        ..FakeStream::default()
    }
}

fn live(vm: &mut Vm<FakeStream>, root: RootIndex, stream: FakeStream) {
    let stream = vm.create_stream(root, stream).unwrap();
    vm.on_headers(stream, Direction::Request, true).unwrap();
    vm.on_headers(stream, Direction::Response, true).unwrap();
    vm.on_log(stream).unwrap();
    vm.end_stream(stream);
}

fn isolation(criterion: &mut Criterion) {
    let engine = Arc::new(Engine::new().unwrap());
    for (name, configuration) in PLUGINS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/plugins/{name}.wasm"));
        let Ok(bytes) = std::fs::read(&path) else { panic!("{} is missing: make plugins", path.display()) };
        let services = FakeServices::default();
        // Go does not start where clocks stand at zero.
        services.now.store(1_000_000_000, Ordering::Relaxed);
        let commons = Commons::new(Arc::new(services));
        let code =
            Code::compile_for_snapshots(&engine, &Arc::new(Wasm::new(bytes)), Effort::FULL, None).unwrap();
        let template = Template::link(&engine, &code, settings(), &commons).unwrap();
        let mut vm = Vm::start(&template).unwrap();
        let root = vm.create_root(&plugin(name, configuration)).unwrap();
        let snapshot = vm.snapshot(&template, root).unwrap();
        let mut group = criterion.benchmark_group(name);
        group.bench_function("shared", |bencher| {
            bencher.iter_batched(request, |stream| live(&mut vm, root, stream), BatchSize::SmallInput);
        });
        group.bench_function("stream", |bencher| {
            let life = |stream| live(&mut snapshot.copy().unwrap(), root, stream);
            bencher.iter_batched(request, life, BatchSize::SmallInput);
        });
        group.bench_function("a copy that does nothing", |bencher| bencher.iter(|| snapshot.copy().unwrap()));
    }
}

criterion_group!(benches, isolation);
criterion_main!(benches);
