#![allow(clippy::all, clippy::pedantic, missing_docs, unused)]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use graft::engine::{Engine, code::Code, limits::Limits, wasi::Environment};
use graft::host::{
    calls::CallLimits,
    commons::Commons,
    contexts::{Plugin, RootIndex},
    template::*,
    testing::*,
    types::Direction,
    vm::*,
};
fn settings() -> Settings {
    Settings {
        vm_id: String::new(),
        configuration: vec![],
        environment: Environment::default(),
        limits: Limits { memory_bytes: 1 << 30, table_elements: 100_000 },
        deadlines: Deadlines {
            start: Duration::from_secs(20),
            configure: Duration::from_secs(20),
            call: Duration::from_secs(20),
        },
        capabilities: Capabilities::All,
        calls: CallLimits { calls: 100, bytes: 1 << 20 },
        shared_bytes: 1 << 20,
        log_limit: LogLimit::new(0),
    }
}
fn run() {
    let engine = Arc::new(Engine::new().unwrap());
    for conf in ["empty", "headers", "body", "hash"] {
        let bytes = std::fs::read("/work/main/target/plugins/bench-workloads.wasm").unwrap();
        let commons = Commons::new(Arc::new(FakeServices::default()));
        let code = Code::compile(&engine, &bytes).unwrap();
        let template = Template::link(&engine, &code, settings(), &commons).unwrap();
        let mut vm = Vm::start(&template).unwrap();
        let plugin = Arc::new(Plugin {
            key: 1,
            name: "p".into(),
            root_id: String::new(),
            configuration: conf.as_bytes().to_vec(),
            allow_on_headers_stop_iteration: false,
        });
        let root = vm.create_root(&plugin).unwrap();
        let names: Vec<(String, String)> =
            (0..11).map(|i| (format!("x-header-{i}"), format!("value {i} of some length"))).collect();
        let mut list: Vec<(&str, &str)> = vec![(":status", "200")];
        for (n, v) in &names {
            list.push((n, v));
        }
        let proto = FakeStream {
            request_headers: pairs(&[(":path", "/"), (":method", "GET"), (":authority", "a")]),
            response_headers: pairs(&list),
            response_body: (
                Vec::new(),
                vec![b'x'; if conf == "body" || conf == "hash" { 65536 } else { 10 }],
            ),
            ..FakeStream::default()
        };
        let n = if conf == "body" || conf == "hash" { 4 } else { 100 };
        let mut best = f64::MAX;
        for _ in 0..(60_000 / n) {
            let mut streams: Vec<FakeStream> = (0..n).map(|_| proto.clone()).collect();
            let begun = std::time::Instant::now();
            for s in streams {
                let s = vm.create_stream(root, s).unwrap();
                vm.on_headers(s, Direction::Request, true).unwrap();
                vm.on_headers(s, Direction::Response, false).unwrap();
                vm.on_body(s, Direction::Response, true).unwrap();
                vm.on_log(s).unwrap();
                vm.end_stream(s);
            }
            best = best.min(begun.elapsed().as_nanos() as f64 / n as f64);
            if conf == "hash" && best < f64::MAX && begun.elapsed().as_secs() > 20 {
                break;
            }
        }
        println!("{conf}: {best:.0} ns");
    }
}
fn copies() {
    let engine = Arc::new(Engine::new().unwrap());
    for conf in ["empty", "headers"] {
        let bytes = std::fs::read("/work/main/target/plugins/bench-workloads.wasm").unwrap();
        let commons = Commons::new(Arc::new(FakeServices::default()));
        let code = Code::compile_for_snapshots(&engine, &bytes).unwrap();
        let template = Template::link(&engine, &code, settings(), &commons).unwrap();
        let mut vm = Vm::start(&template).unwrap();
        let plugin = Arc::new(Plugin {
            key: 1,
            name: "p".into(),
            root_id: String::new(),
            configuration: conf.as_bytes().to_vec(),
            allow_on_headers_stop_iteration: false,
        });
        let root = vm.create_root(&plugin).unwrap();
        let snapshot = vm.snapshot(&template, root).unwrap();
        let names: Vec<(String, String)> =
            (0..11).map(|i| (format!("x-header-{i}"), format!("value {i} of some length"))).collect();
        let mut list: Vec<(&str, &str)> = vec![(":status", "200")];
        for (n, v) in &names {
            list.push((n, v));
        }
        let proto = FakeStream {
            request_headers: pairs(&[(":path", "/"), (":method", "GET"), (":authority", "a")]),
            response_headers: pairs(&list),
            response_body: (Vec::new(), vec![b'x'; 10]),
            ..FakeStream::default()
        };
        for mode in ["nothing", "life"] {
            let n = 20;
            let mut best = f64::MAX;
            for _ in 0..4_000 {
                let mut streams: Vec<FakeStream> = (0..n).map(|_| proto.clone()).collect();
                let begun = std::time::Instant::now();
                for s in streams {
                    let mut vm = snapshot.copy().unwrap();
                    if mode == "life" {
                        let s = vm.create_stream(root, s).unwrap();
                        vm.on_headers(s, Direction::Request, true).unwrap();
                        vm.on_headers(s, Direction::Response, false).unwrap();
                        vm.on_body(s, Direction::Response, true).unwrap();
                        vm.on_log(s).unwrap();
                        vm.end_stream(s);
                    }
                }
                best = best.min(begun.elapsed().as_nanos() as f64 / n as f64);
            }
            println!("copy {conf} {mode}: {best:.0} ns");
        }
    }
}
fn main() {
    if std::env::var_os("GRAFT_COPIES").is_some() { copies() } else { run() }
}
