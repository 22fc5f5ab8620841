//! WASI as a guest sees it: imports, types, answers and memory, through the engine.
//!
//! What a body does with every kind of argument is tested beside it, without an engine. Here stands what
//! only linking shows: that each function is there under both names, has the type that compilers emit,
//! and reaches the body that it should.

use wasmtime::{Engine, Instance, Linker, Module, Store, Val};

use super::standard::{BAD, TYPES};
use super::testing::Host;
use super::{Environment, FUNCTIONS, MODULES, StandardStream, add_to_linker};

/// A guest with the one function `name` of `module`, of these parameters, exported again as `call`.
struct Program {
    store: Store<Host>,
    instance: Instance,
    /// For each parameter, whether it is an i64 and not an i32.
    is_wide: Vec<bool>,
}

impl Program {
    fn new(module: &str, name: &str, parameters: &str, result: &str, linker: &Linker<Host>) -> Self {
        let types: Vec<&str> = parameters.split_whitespace().collect();
        let locals: Vec<String> = (0..types.len()).map(|index| format!("local.get {index}")).collect();
        let locals = locals.join(" ");
        let text = format!(
            r#"(module
                (import "{module}" "{name}" (func $function (param {parameters}) {result}))
                (memory (export "memory") 1)
                (func (export "call") (param {parameters}) {result} {locals} call $function))"#
        );
        let code = Module::new(linker.engine(), wat::parse_str(text).unwrap()).unwrap();
        let mut store = Store::new(linker.engine(), Host::default());
        let instance = linker.instantiate(&mut store, &code).unwrap();
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        let is_wide = types.iter().map(|name| *name == "i64").collect();
        Self { store, instance, is_wide }
    }

    /// Calls the function, with numbers for its parameters whatever their types, for its error number.
    fn call(&mut self, arguments: &[u64]) -> i32 {
        assert_eq!(arguments.len(), self.is_wide.len(), "arguments");
        let arguments: Vec<Val> = arguments
            .iter()
            .zip(&self.is_wide)
            .map(|(argument, is_wide)| {
                if *is_wide {
                    Val::I64(argument.cast_signed())
                } else {
                    Val::I32(u32::try_from(*argument).unwrap().cast_signed())
                }
            })
            .collect();
        let function = self.instance.get_func(&mut self.store, "call").unwrap();
        let mut results = vec![Val::I32(-1); function.ty(&self.store).results().len()];
        function.call(&mut self.store, &arguments, &mut results).unwrap();
        results.first().map_or(0, Val::unwrap_i32)
    }

    fn memory(&mut self) -> &mut [u8] {
        self.store.data().memory.unwrap().data_mut(&mut self.store)
    }
}

fn linker(is_allowed: impl Fn(&str) -> bool) -> Linker<Host> {
    let mut linker = Linker::new(&Engine::default());
    add_to_linker(&mut linker, is_allowed).unwrap();
    linker
}

/// The function `name` under the standard's module name, linked as allowed.
fn program(name: &str) -> Program {
    let (_, parameters, _) = TYPES.iter().find(|(known, ..)| *known == name).unwrap();
    Program::new(MODULES[0], name, parameters, result(name), &linker(|_| true))
}

/// What every function returns but `proc_exit`.
fn result(name: &str) -> &'static str {
    if name == "proc_exit" { "" } else { "(result i32)" }
}

#[test]
fn the_table_has_every_function_of_the_standard_once() {
    let mut linked = FUNCTIONS.to_vec();
    linked.sort_unstable();
    let standard: Vec<&str> = TYPES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(linked, standard);
}

#[test]
fn every_function_loads_and_answers_under_both_module_names() {
    let linker = linker(|_| true);
    for module in MODULES {
        for (name, parameters, cases) in TYPES {
            let mut program = Program::new(module, name, parameters, result(name), &linker);
            for (arguments, expected) in *cases {
                assert_eq!(program.call(arguments), *expected, "{module} {name} {arguments:?}");
            }
        }
    }
}

#[test]
fn a_call_that_fails_leaves_memory_as_it_was() {
    for (name, _, cases) in TYPES {
        for (arguments, _) in cases.iter().filter(|(_, expected)| *expected == 21) {
            let mut program = program(name);
            program.memory().fill(0xaa);
            program.call(arguments);
            assert!(program.memory().iter().all(|byte| *byte == 0xaa), "{name} {arguments:?}");
            assert_eq!(program.store.data().lines, [], "{name} {arguments:?}");
        }
    }
}

#[test]
fn a_denied_function_loads_says_so_when_called_and_touches_nothing() {
    let linker = linker(|_| false);
    for module in MODULES {
        for (name, parameters, cases) in TYPES {
            let mut program = Program::new(module, name, parameters, result(name), &linker);
            program.memory().fill(0xaa);
            let (arguments, _) = cases[0];
            let expected = if *name == "proc_exit" { 0 } else { 76 };
            assert_eq!(program.call(arguments), expected, "{module} {name}");
            assert!(program.memory().iter().all(|byte| *byte == 0xaa), "{name}");
            let line = format!("Attempted call to restricted WASI capability: {name}");
            assert_eq!(program.store.data().lines, [(StandardStream::Error, line.into_bytes())]);
            assert!(program.store.data().traces.is_empty(), "{name}");
        }
    }
}

#[test]
fn capabilities_are_asked_for_each_function_at_link_time_only() {
    let allowed = std::cell::RefCell::new(Vec::new());
    let linker = linker(|name| {
        allowed.borrow_mut().push(name.to_owned());
        name == "clock_res_get"
    });
    assert_eq!(allowed.borrow().len(), 2 * FUNCTIONS.len());
    let mut clock = Program::new(MODULES[1], "clock_res_get", "i32 i32", "(result i32)", &linker);
    assert_eq!(clock.call(&[0, 0]), 0);
    let mut random = Program::new(MODULES[1], "random_get", "i32 i32", "(result i32)", &linker);
    assert_eq!(random.call(&[0, 4]), 76);
    assert_eq!(allowed.borrow().len(), 2 * FUNCTIONS.len());
}

#[test]
fn linking_twice_is_an_error() {
    let mut linker = linker(|_| true);
    assert!(add_to_linker(&mut linker, |_| true).is_err());
}

#[test]
fn an_import_of_another_type_does_not_load() {
    let linker = linker(|_| true);
    let text =
        r#"(module (import "wasi_snapshot_preview1" "fd_seek" (func (param i32 i32 i32 i32) (result i32))))"#;
    let code = Module::new(linker.engine(), wat::parse_str(text).unwrap()).unwrap();
    let mut store = Store::new(linker.engine(), Host::default());
    assert!(linker.instantiate(&mut store, &code).is_err());
}

#[test]
fn the_helpers_of_emscripten_are_there() {
    let linker = linker(|_| false);
    let mut equal = Program::new("env", "pthread_equal", "i32 i32", "(result i32)", &linker);
    assert_eq!(equal.call(&[7, 7]), 1);
    assert_eq!(equal.call(&[7, 8]), 0);
    let mut growth = Program::new("env", "emscripten_notify_memory_growth", "i32", "", &linker);
    assert_eq!(growth.call(&[0]), 0);
}

#[test]
fn the_clocks_are_those_of_the_host() {
    let mut program = program("clock_time_get");
    program.store.data_mut().realtime = 1_700_000_000_123_456_789;
    program.store.data_mut().monotonic = 42;
    assert_eq!(program.call(&[0, 0, 16]), 0);
    assert_eq!(program.call(&[1, 0, 0xfff8]), 0);
    assert_eq!(program.memory()[16..24], 1_700_000_000_123_456_789_u64.to_le_bytes());
    assert_eq!(program.memory()[0xfff8..], 42_u64.to_le_bytes());
}

#[test]
fn the_resolution_of_both_clocks_is_a_nanosecond() {
    let mut program = program("clock_res_get");
    for clock in [0, 1] {
        program.memory().fill(0xaa);
        assert_eq!(program.call(&[clock, 8]), 0);
        assert_eq!(program.memory()[8..16], 1_u64.to_le_bytes());
    }
}

#[test]
fn printing_reaches_the_log_from_both_functions() {
    for (name, arguments) in [("fd_write", &[2, 0, 1, 8][..]), ("fd_pwrite", &[2, 0, 1, 99, 8][..])] {
        let mut program = program(name);
        program.memory()[..8].copy_from_slice(&[100, 0, 0, 0, 3, 0, 0, 0]);
        program.memory()[100..103].copy_from_slice(b"hi\n");
        assert_eq!(program.call(arguments), 0);
        assert_eq!(program.store.data().lines, [(StandardStream::Error, b"hi".to_vec())]);
        assert_eq!(program.memory()[8..12], [3, 0, 0, 0]);
    }
}

#[test]
fn the_environment_is_given_in_two_calls() {
    let environment = Environment::new([("KEY", "value")]);
    let mut sizes = program("environ_sizes_get");
    sizes.store.data_mut().environment = environment.clone();
    assert_eq!(sizes.call(&[0, 4]), 0);
    assert_eq!(sizes.memory()[..8], [1, 0, 0, 0, 10, 0, 0, 0]);

    let mut variables = program("environ_get");
    variables.store.data_mut().environment = environment;
    assert_eq!(variables.call(&[BAD, 32]), 21);
    assert_eq!(variables.call(&[0, 0xfff7]), 21);
    assert_eq!(variables.call(&[0, 32]), 0);
    assert_eq!(variables.memory()[..4], [32, 0, 0, 0]);
    assert_eq!(&variables.memory()[32..42], b"KEY=value\0");
}

#[test]
fn there_are_no_arguments() {
    let mut program = program("args_sizes_get");
    program.memory().fill(0xaa);
    assert_eq!(program.call(&[0, 8]), 0);
    assert_eq!(program.memory()[..12], [0, 0, 0, 0, 0xaa, 0xaa, 0xaa, 0xaa, 0, 0, 0, 0]);
}

#[test]
fn random_bytes_fill_exactly_what_was_asked_for() {
    let mut program = program("random_get");
    program.memory().fill(0);
    assert_eq!(program.call(&[64, 256]), 0);
    let memory = program.memory();
    // 256 bytes with fewer than 100 values between them do not happen by chance.
    let mut values = memory[64..320].to_vec();
    values.sort_unstable();
    values.dedup();
    assert!(values.len() > 100, "{} values", values.len());
    assert!(memory[..64].iter().chain(&memory[320..]).all(|byte| *byte == 0));
}

#[test]
fn results_that_say_nothing_are_stored_as_zero() {
    for (name, arguments, address, length) in [
        ("poll_oneoff", &[0, 0, 1, 8][..], 8, 4),
        ("fd_tell", &[1, 8][..], 8, 8),
        ("fd_readdir", &[3, 0, 0, 0, 8][..], 8, 4),
        ("path_readlink", &[3, 0, 0, 0, 0, 8][..], 8, 4),
        ("sock_accept", &[3, 0, 8][..], 8, 4),
        ("sock_send", &[3, 0, 0, 0, 8][..], 8, 4),
        ("sock_recv", &[3, 0, 0, 0, 8, 12][..], 8, 6),
    ] {
        let mut program = program(name);
        program.memory().fill(0xaa);
        program.call(arguments);
        let (before, rest) = program.memory().split_at(address);
        let (result, after) = rest.split_at(length);
        assert!(result.iter().all(|byte| *byte == 0), "{name}: {result:?}");
        assert!(before.iter().chain(after).all(|byte| *byte == 0xaa), "{name} wrote elsewhere");
    }
}

#[test]
fn what_succeeds_without_doing_anything_is_traced() {
    for (name, arguments) in [("fd_seek", &[1, 0, 0, 8][..]), ("fd_close", &[1][..]), ("proc_exit", &[0][..])]
    {
        let mut program = program(name);
        assert_eq!(program.call(arguments), 0);
        assert_eq!(program.store.data().traces, [name]);
    }
}

#[test]
fn a_start_section_prints_before_the_host_knows_the_memory() {
    let text = r#"(module
        (import "wasi_unstable" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\08\00\00\00\05\00\00\00start")
        (func $main (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))
        (start $main))"#;
    let linker = linker(|_| true);
    let code = Module::new(linker.engine(), wat::parse_str(text).unwrap()).unwrap();
    let mut store = Store::new(linker.engine(), Host::default());
    linker.instantiate(&mut store, &code).unwrap();
    assert_eq!(store.data().lines, [(StandardStream::Output, b"start".to_vec())]);
}

#[test]
fn a_guest_without_memory_has_only_bad_addresses() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
        (func (export "call") (result i32) (call $time (i32.const 0) (i64.const 0) (i32.const 0))))"#;
    let linker = linker(|_| true);
    let code = Module::new(linker.engine(), wat::parse_str(text).unwrap()).unwrap();
    let mut store = Store::new(linker.engine(), Host::default());
    let instance = linker.instantiate(&mut store, &code).unwrap();
    let call = instance.get_typed_func::<(), i32>(&mut store, "call").unwrap();
    assert_eq!(call.call(&mut store, ()).unwrap(), 21);
}
