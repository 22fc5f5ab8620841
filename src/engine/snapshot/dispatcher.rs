//! A dispatcher: a function in a snapshot that calls others by number.
//!
//! A function of an instance has to be looked up, and its type compared, before it can be called. Each new instance pays for
//! that again, as much for each function as for ten calls. Through a dispatcher it is one function that is looked up.

use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module, RawSection,
    TypeSection, ValType,
};
use wasmparser::{ExternalKind, FuncType, Parser, Payload, TypeRef};

/// What it is exported as.
pub const NAME: &str = "graft_call";

/// Most parameters of a function that it calls. The dispatcher itself takes a number and as many parameters, and answers
/// with what that function does, or with 0.
pub const PARAMETERS: usize = 5;

/// Code with a dispatcher.
pub(super) struct Added {
    pub(super) bytes: Vec<u8>,
    /// Its place among the functions of the code.
    pub(super) function: u32,
}

/// Adds a dispatcher to code. A number is the place of a function's name in the list; those that the code does not export,
/// or whose types do not fit, have none. `None`: this code can have no dispatcher.
pub(super) fn add(bytes: &[u8], names: &[&str]) -> Option<Added> {
    let found = Found::read(bytes)?;
    let function = u32::try_from(found.functions.len()).ok()?;
    let body = found.dispatcher(names);
    let mut reencode = RoundtripReencoder;
    let mut module = Module::new();
    let mut code = CodeSection::new();
    let mut code_left = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.ok()?;
        if let Payload::TypeSection(section) = payload {
            let mut types = TypeSection::new();
            reencode.parse_type_section(&mut types, section).ok()?;
            types.ty().function([ValType::I32; PARAMETERS + 1], [ValType::I32]);
            module.section(&types);
        } else if let Payload::FunctionSection(section) = payload {
            let mut functions = FunctionSection::new();
            reencode.parse_function_section(&mut functions, section).ok()?;
            functions.function(u32::try_from(found.types.len()).ok()?);
            module.section(&functions);
        } else if let Payload::ExportSection(section) = payload {
            let mut exports = ExportSection::new();
            reencode.parse_export_section(&mut exports, section).ok()?;
            exports.export(NAME, ExportKind::Func, function);
            module.section(&exports);
        } else if let Payload::CodeSectionStart { count, .. } = payload {
            code_left = count;
        } else if let Payload::CodeSectionEntry(entry) = payload {
            code.raw(bytes.get(entry.range())?);
            code_left = code_left.saturating_sub(1);
            if code_left == 0 {
                module.section(code.function(&body));
            }
        } else if let Some((id, range)) = payload.as_section() {
            module.section(&RawSection { id, data: bytes.get(range)? });
        }
    }
    Some(Added { bytes: module.finish(), function })
}

/// What is looked at in code.
#[derive(Default)]
struct Found<'a> {
    types: Vec<FuncType>,
    /// Types of all functions, imported ones first.
    functions: Vec<u32>,
    /// Exported functions.
    exports: Vec<(&'a str, u32)>,
}

impl<'a> Found<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut found = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.ok()?;
            if let Payload::TypeSection(section) = payload {
                found.types = section.into_iter_err_on_gc_types().collect::<Result<_, _>>().ok()?;
            } else if let Payload::ImportSection(section) = payload {
                for import in section.into_imports() {
                    if let TypeRef::Func(ty) | TypeRef::FuncExact(ty) = import.ok()?.ty {
                        found.functions.push(ty);
                    }
                }
            } else if let Payload::FunctionSection(section) = payload {
                for ty in section {
                    found.functions.push(ty.ok()?);
                }
            } else if let Payload::ExportSection(section) = payload {
                for export in section {
                    let export = export.ok()?;
                    if export.name == NAME {
                        return None;
                    }
                    if export.kind == ExternalKind::Func {
                        found.exports.push((export.name, export.index));
                    }
                }
            }
        }
        Some(found)
    }

    /// A function of this name, with the number of its parameters and of its results, if it can be called.
    fn callable(&self, name: &str) -> Option<(u32, usize, usize)> {
        let (_, function) = self.exports.iter().find(|(export, _)| *export == name)?;
        let ty = self.functions.get(usize::try_from(*function).ok()?)?;
        let ty = self.types.get(usize::try_from(*ty).ok()?)?;
        let is_number = |ty: &wasmparser::ValType| *ty == wasmparser::ValType::I32;
        let fits = ty.params().len() <= PARAMETERS
            && ty.results().len() <= 1
            && ty.params().iter().chain(ty.results()).all(is_number);
        fits.then_some((*function, ty.params().len(), ty.results().len()))
    }

    /// ```wat
    /// (block $n … (block $1 (block $0 (br_table $0 $1 … $n (local.get 0)))
    ///   (return (call the first (local.get 1) …)))
    ///   (return (call the second …))
    /// …) unreachable
    /// ```
    fn dispatcher(&self, names: &[&str]) -> Function {
        let mut body = Function::new([]);
        let mut code = body.instructions();
        let count = u32::try_from(names.len()).unwrap_or(0);
        for _ in 0..=count {
            code.block(BlockType::Empty);
        }
        code.local_get(0).br_table(0..count, count).end();
        for name in names {
            match self.callable(name) {
                Some((function, parameters, results)) => {
                    for parameter in (1..).take(parameters) {
                        code.local_get(parameter);
                    }
                    code.call(function);
                    if results == 0 {
                        code.i32_const(0);
                    }
                    code.return_();
                }
                None => {
                    code.unreachable();
                }
            }
            code.end();
        }
        code.unreachable().end();
        body
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Instance, Module, Store};

    use super::*;

    type Parameters = (u32, u32, u32, u32, u32, u32);

    /// Calls functions of a module with the parameters 1 to 5 through its dispatcher.
    fn call(text: &str, names: &[&str], number: u32) -> Result<u32, wasmtime::Error> {
        let added = add(&wat::parse_str(text).unwrap(), names).unwrap();
        wasmparser::validate(&added.bytes).unwrap();
        let engine = Engine::default();
        let module = Module::new(&engine, &added.bytes).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let dispatcher = instance.get_typed_func::<Parameters, u32>(&mut store, NAME).unwrap();
        dispatcher.call(&mut store, (number, 1, 2, 3, 4, 5))
    }

    const CODE: &str = r#"(module
        (global $g (mut i32) (i32.const 7))
        (func (export "none") (global.set $g (i32.const 8)))
        (func (export "two") (param i32 i32) (result i32) (i32.sub (local.get 1) (local.get 0)))
        (func (export "five") (param i32 i32 i32 i32 i32) (result i32)
            (i32.add (local.get 4) (i32.mul (local.get 0) (i32.const 10))))
        (func (export "long") (param i64))
        (func (export "six") (param i32 i32 i32 i32 i32 i32)))"#;

    const NAMES: [&str; 6] = ["five", "none", "absent", "two", "long", "six"];

    #[test]
    fn functions_are_called_by_the_places_of_their_names() {
        assert_eq!(call(CODE, &NAMES, 0).unwrap(), 15);
        assert_eq!(call(CODE, &NAMES, 1).unwrap(), 0);
        assert_eq!(call(CODE, &NAMES, 3).unwrap(), 1);
    }

    #[test]
    fn what_is_not_there_or_does_not_fit_traps() {
        for number in [2, 4, 5, 6, u32::MAX] {
            assert!(call(CODE, &NAMES, number).is_err(), "{number}");
        }
    }

    #[test]
    fn code_that_has_such_an_export_already_gets_no_dispatcher() {
        let bytes = wat::parse_str(r#"(module (func (export "graft_call")))"#).unwrap();
        assert!(add(&bytes, &["x"]).is_none());
    }

    #[test]
    fn the_dispatcher_is_the_last_function() {
        let bytes = wat::parse_str(CODE).unwrap();
        assert_eq!(add(&bytes, &NAMES).unwrap().function, 5);
    }
}
