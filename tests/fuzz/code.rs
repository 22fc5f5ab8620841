//! Bytes that were a plugin once: they are refused with a message, or they are code that can be linked, started and
//! run like any other.

use std::sync::Arc;
use std::time::Duration;

use graft::engine::Engine;
use graft::engine::code::{Code, Effort, Wasm};
use graft::engine::limits::Limits;
use graft::engine::wasi::Environment;
use graft::host::calls::CallLimits;
use graft::host::commons::Commons;
use graft::host::template::{Capabilities, Deadlines, Settings, Template};
use graft::host::testing::{FakeServices, FakeStream};
use graft::host::types::Direction;
use graft::host::vm::{LogLimit, Vm};

use crate::guest::{Guest, exchange, plugin};
use crate::numbers::Numbers;
use crate::{for_a_while, hostile};

/// How far bytes came, each count including those that came further.
#[derive(Debug, Default)]
struct Reached {
    refused: u64,
    compiled: u64,
    linked: u64,
    started: u64,
    configured: u64,
}

fn settings() -> Settings {
    Settings {
        vm_id: String::new(),
        configuration: Vec::new(),
        environment: Environment::default(),
        limits: Limits { memory_bytes: 8 * 65_536, table_elements: 100 },
        deadlines: Deadlines {
            start: Duration::from_millis(30),
            configure: Duration::from_millis(30),
            call: Duration::from_millis(30),
        },
        capabilities: Capabilities::All,
        strict_local_responses: false,
        calls: CallLimits { calls: 100, bytes: 1024 * 1024 },
        shared_bytes: 1024 * 1024,
        log_limit: LogLimit::new(1000),
    }
}

/// Changes bits, bytes or lengths of a module; keeps its beginning, without which it is none.
fn spoil(numbers: &mut Numbers, wasm: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..=numbers.below(4) {
        if wasm.len() < 10 {
            return;
        }
        let at = 8 + numbers.below(wasm.len() - 8);
        match numbers.below(8) {
            0 => wasm.truncate(at),
            1 => drop(wasm.remove(at)),
            2 => wasm.insert(at, numbers.any().to_le_bytes()[0]),
            3 => wasm[at] = numbers.any().to_le_bytes()[0],
            4 => {
                let other = numbers.pick(others);
                let from = numbers.below(other.len());
                let length = numbers.below(40).min(other.len() - from).min(wasm.len() - at);
                wasm[at..at + length].copy_from_slice(&other[from..from + length]);
            }
            // One bit changes an instruction, an index or a constant, and often leaves valid code.
            _ => wasm[at] ^= 1 << numbers.below(8),
        }
    }
}

/// Takes bytes as far as they go.
fn run(engine: &Arc<Engine>, services: &Arc<FakeServices>, wasm: &[u8], reached: &mut Reached) {
    let code = match Code::compile(engine, &Wasm::new(wasm.to_vec()), Effort::FULL, None) {
        Ok(code) => code,
        Err(error) => {
            assert!(error.to_string().contains("expected"), "{error}");
            reached.refused += 1;
            return;
        }
    };
    reached.compiled += 1;
    let template =
        match Template::<FakeStream>::link(engine, &code, settings(), &Commons::new(Arc::clone(services))) {
            Ok(template) => template,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
    reached.linked += 1;
    let mut vm = match Vm::start(&template) {
        Ok(vm) => vm,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    reached.started += 1;
    let Ok(root) = vm.create_root(&Arc::new(plugin(1, "fuzz", b"configuration"))) else { return };
    reached.configured += 1;
    let Ok(stream) = vm.create_stream(root, exchange()) else { return };
    for direction in [Direction::Request, Direction::Response] {
        let results = [
            vm.on_headers(stream, direction, false).is_ok(),
            vm.on_body(stream, direction, true).is_ok(),
            vm.on_trailers(stream, direction).is_ok(),
        ];
        assert_eq!(results[2], !vm.has_failed());
    }
    vm.end_stream(stream);
    vm.retire_root(root);
}

#[test]
fn spoilt_code_is_refused_or_runs() {
    let engine = Arc::new(Engine::new().unwrap());
    let services = Arc::new(FakeServices::default());
    let plain = Guest::new()
        .with("(table $table 2 10 funcref) (elem (i32.const 0) $say $show)")
        .on("_initialize", r#"(drop (call $proxy_log (i32.const 2) (text "hello")))"#)
        .on("proxy_on_configure", "(call_indirect (param i32) (i32.const 7) (i32.const 0))")
        .on(
            "proxy_on_request_headers",
            r#"(drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))
               (drop (memory.grow (i32.const 1))) (call $show (i32.const 8))"#,
        )
        .on("proxy_on_response_body", "(call $say (local.get $1))");
    let seeds = [plain.wasm(), Guest::new().abi("0_1_0").wasm(), hostile::guest("0_2_1").wasm()];
    let mut reached = Reached::default();
    let cases = for_a_while("spoilt_code", |numbers| {
        // The large one compiles slowly.
        let seed = if numbers.one_in(20) { 2 } else { numbers.below(2) };
        let mut wasm = seeds[seed].clone();
        spoil(numbers, &mut wasm, &seeds);
        run(&engine, &services, &wasm, &mut reached);
        services.lines.lock().clear();
        services.metrics.lock().clear();
    });
    println!("spoilt_code: {reached:?}");
    if cases > 500 {
        let Reached { refused, compiled, linked, started, configured } = reached;
        assert!(
            refused > 0 && compiled > linked && linked > started && started >= configured && configured > 0
        );
    }
}

#[test]
fn noise_is_not_code() {
    let engine = Engine::new().unwrap();
    for_a_while("noise_is_not_code", |numbers| {
        let mut bytes = numbers.bytes(200);
        if numbers.one_in(2) {
            bytes.splice(..0, *b"\0asm\x01\0\0\0");
        }
        if let Ok(code) = Code::compile(&engine, &Wasm::new(bytes), Effort::FULL, None) {
            // A header alone, or with custom sections, is a module; it exports nothing.
            assert_eq!(code.exported_functions().count(), 0);
        }
    });
}
