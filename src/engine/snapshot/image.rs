//! The memory of a snapshot, apart from its code.
//!
//! Two snapshots of the same plugin differ in what lies in memory: Go draws random numbers when it starts, and looks at the
//! clock. Their functions are the same, and these are what takes seconds to compile. So the code is compiled with a
//! *mark* in the place of the memory, which is the same each time, and the memory is put there afterwards.
//!
//! ```text
//!   snapshot ── split ──► code with a mark ── compile, or from the shelf ──► compiled code with a mark
//!                   └───► memory ───────────────────── fill ───────────────► compiled code of the snapshot
//! ```
//!
//! Compiled code is an object file, and only its section of data is written to. What a plugin may have put there by
//! design is its own memory in either case. The memory itself, which may hold secrets of the plugin, is not kept.

use std::ops::Range;

use object::{Object as _, ObjectSection as _};
use sha2::{Digest as _, Sha256};
use wasm_encoder::{ConstExpr, DataSection, Module, RawSection};
use wasmparser::{DataKind, DataSectionReader, Operator, Parser, Payload};

use super::segments::names_segments;

/// The section that wasmtime keeps data of Wasm in.
const SECTION: &str = ".rodata.wasm";

/// Where memory is cut at its beginning: a page of Wasm. Stacks at the beginning are mostly empty.
const GRAIN: usize = 64 * 1024;

/// Where it is cut at its end. Heaps end now here, now there, and each other length is compiled.
const END_GRAIN: usize = 1024 * 1024;

/// Most bytes of memory that are kept in compiled code.
const LARGEST: usize = 256 * 1024 * 1024;

/// Bytes of the mark, at both ends of what it stands for; zeros are between them.
const MARK: usize = 32;

/// A snapshot in two parts.
pub(in crate::engine) struct Split {
    /// Code whose memory holds a mark.
    pub(in crate::engine) code: Vec<u8>,
    memory: Vec<u8>,
}

/// Takes a snapshot apart, if its memory is one and is filled by data at known places alone.
pub(in crate::engine) fn split(snapshot: &[u8]) -> Option<Split> {
    if names_segments(snapshot).ok()? {
        return None;
    }
    let mut size = None;
    let mut segments = Vec::new();
    for payload in Parser::new(0).parse_all(snapshot) {
        let payload = payload.ok()?;
        if let Payload::ImportSection(imports) = payload {
            let is_memory = |import: wasmparser::Result<wasmparser::Import<'_>>| {
                import.is_ok_and(|import| matches!(import.ty, wasmparser::TypeRef::Memory(_)))
            };
            if imports.into_imports().any(is_memory) {
                return None;
            }
        } else if let Payload::MemorySection(memories) = payload {
            size = size_of_only(memories);
        } else if let Payload::DataSection(section) = payload {
            segments = active(section)?;
        }
    }
    let size = size?;
    if segments.iter().all(|(_, data)| data.is_empty()) {
        return Some(Split { code: snapshot.to_vec(), memory: Vec::new() });
    }
    let place = place(&segments, size)?;
    let mut memory = vec![0; place.len()];
    for (start, data) in segments {
        let begin = start.checked_sub(place.start)?;
        memory.get_mut(begin..begin.checked_add(data.len())?)?.copy_from_slice(data);
    }
    Some(Split { code: with_mark(snapshot, &place)?, memory })
}

impl Split {
    /// Puts the memory into what the code was compiled to. Answers whether the mark was there.
    pub(in crate::engine) fn fill(&self, compiled: &mut [u8]) -> bool {
        if self.memory.is_empty() {
            return true;
        }
        self.place(compiled).is_some_and(|place| {
            compiled.get_mut(place).is_some_and(|memory| {
                memory.copy_from_slice(&self.memory);
                true
            })
        })
    }

    /// Where the mark is.
    fn place(&self, compiled: &[u8]) -> Option<Range<usize>> {
        let file = object::File::parse(compiled).ok()?;
        let (start, size) = file.section_by_name(SECTION)?.file_range()?;
        let start = usize::try_from(start).ok()?;
        let data = compiled.get(start..start.checked_add(usize::try_from(size).ok()?)?)?;
        let mark = mark(self.memory.len());
        let begin = mark.get(..MARK)?;
        let at = data.windows(MARK).position(|window| window == begin)?;
        let end = at.checked_add(mark.len())?;
        let is_whole = data.get(at..end)? == mark;
        is_whole.then_some(start.checked_add(at)?..start.checked_add(end)?)
    }
}

/// What stands for memory of some length. Neither of its ends is zero, or the compiler would leave it out.
fn mark(length: usize) -> Vec<u8> {
    let mut mark = vec![0; length];
    let mut hash = Sha256::new();
    hash.update(b"graft memory of a snapshot\0");
    hash.update(length.to_le_bytes());
    let mut digest: [u8; MARK] = hash.finalize().into();
    digest[0] |= 1;
    digest[MARK - 1] |= 1;
    if let Some(begin) = mark.first_chunk_mut::<MARK>() {
        *begin = digest;
    }
    if let Some(end) = mark.last_chunk_mut::<MARK>() {
        *end = digest;
    }
    mark
}

/// Bytes that the only memory begins with.
fn size_of_only(memories: wasmparser::MemorySectionReader<'_>) -> Option<usize> {
    let mut memories = memories.into_iter();
    let memory = memories.next()?.ok()?;
    let is_plain = !memory.memory64 && memory.page_size_log2.is_none() && memories.next().is_none();
    let pages = usize::try_from(memory.initial).ok().filter(|_| is_plain)?;
    pages.checked_mul(64 * 1024)
}

/// Where data goes, and the data; nothing if that is not known before an instance runs.
fn active(section: DataSectionReader<'_>) -> Option<Vec<(usize, &[u8])>> {
    let mut segments = Vec::new();
    for segment in section {
        let segment = segment.ok()?;
        let DataKind::Active { memory_index: 0, offset_expr } = segment.kind else { return None };
        let mut operators = offset_expr.get_operators_reader();
        let Operator::I32Const { value } = operators.read().ok()? else { return None };
        if !matches!(operators.read().ok()?, Operator::End) {
            return None;
        }
        segments.push((usize::try_from(value.cast_unsigned()).ok()?, segment.data));
    }
    Some(segments)
}

/// The part of a memory that is kept: all that is not empty, between round borders.
fn place(segments: &[(usize, &[u8])], size: usize) -> Option<Range<usize>> {
    let filled = || segments.iter().filter(|(_, data)| !data.is_empty());
    let start = filled().map(|(start, _)| *start).min()?;
    let end = filled().map(|(start, data)| start.saturating_add(data.len())).max()?;
    let start = start.checked_sub(start.checked_rem(GRAIN)?)?;
    let end = end.checked_next_multiple_of(END_GRAIN)?.min(size);
    let length = end.checked_sub(start)?;
    ((2 * MARK..=LARGEST).contains(&length)).then_some(start..end)
}

/// The code with the mark as its only data.
fn with_mark(snapshot: &[u8], place: &Range<usize>) -> Option<Vec<u8>> {
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(snapshot) {
        let payload = payload.ok()?;
        if let Payload::DataSection(_) = payload {
            let mut data = DataSection::new();
            let start = u32::try_from(place.start).ok()?.cast_signed();
            data.active(0, &ConstExpr::i32_const(start), mark(place.len()));
            module.section(&data);
        } else if let Payload::DataCountSection { .. } = payload {
            // As in `segments`: no instruction wants it.
        } else if let Some((id, range)) = payload.as_section() {
            module.section(&RawSection { id, data: snapshot.get(range)? });
        }
    }
    Some(module.finish())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wasmtime::{Instance, Store};

    use super::super::super::Engine;
    use super::super::super::code::{Code, Effort, Origin, Shelf, Wasm};
    use super::*;

    /// A shelf in memory.
    #[derive(Default)]
    struct Board(parking_lot::Mutex<std::collections::HashMap<[u8; 32], Vec<u8>>>);

    impl Shelf for Board {
        fn take(&self, key: &[u8; 32]) -> Option<Vec<u8>> {
            self.0.lock().get(key).cloned()
        }

        fn put(&self, key: &[u8; 32], compiled: &[u8]) {
            self.0.lock().insert(*key, compiled.to_vec());
        }
    }

    /// Code that keeps a number at three places of its memory.
    fn keeping() -> Vec<u8> {
        wat::parse_str(
            r#"(module
                (memory (export "memory") 3)
                (data (i32.const 70000) "data")
                (func (export "keep") (param i32)
                    (i32.store (i32.const 65536) (local.get 0))
                    (i32.store (i32.const 100000) (local.get 0))
                    (i32.store (i32.const 196604) (local.get 0)))
                (func (export "kept") (result i32)
                    (i32.and (i32.load (i32.const 65536))
                        (i32.and (i32.load (i32.const 100000)) (i32.load (i32.const 196604)))))
                (func (export "data") (result i32) (i32.load (i32.const 70000))))"#,
        )
        .unwrap()
    }

    #[test]
    fn snapshots_that_differ_in_memory_alone_are_compiled_once() {
        let engine = Engine::new().unwrap();
        let shelf: std::sync::Arc<dyn Shelf> = std::sync::Arc::new(Board::default());
        let code =
            Code::compile_for_snapshots(&engine, &Arc::new(Wasm::new(keeping())), Effort::FULL, Some(&shelf))
                .unwrap();
        for (round, number) in [0x1234_5678, -1, 7].into_iter().enumerate() {
            let mut store = Store::new(engine.handle(), ());
            store.set_epoch_deadline(1_000_000);
            let instance = Instance::new(&mut store, code.module(), &[]).unwrap();
            let keep = instance.get_typed_func::<i32, ()>(&mut store, "keep").unwrap();
            keep.call(&mut store, number).unwrap();
            let snapshot = code.snapshot(&engine, &mut store, instance, &[]).unwrap();
            assert_eq!(matches!(snapshot.origin(), Origin::Cached(_)), round > 0);
            let mut store = Store::new(engine.handle(), ());
            store.set_epoch_deadline(1_000_000);
            let copy = Instance::new(&mut store, snapshot.module(), &[]).unwrap();
            let mut ask = |name: &str| {
                copy.get_typed_func::<(), i32>(&mut store, name).unwrap().call(&mut store, ()).unwrap()
            };
            assert_eq!(ask("kept"), number);
            assert_eq!(ask("data"), i32::from_le_bytes(*b"data"));
        }
    }

    #[test]
    fn what_has_no_mark_is_not_filled() {
        let wasm = wat::parse_str(r#"(module (memory 1) (data (i32.const 0) "data"))"#).unwrap();
        let split = split(&wasm).unwrap();
        assert_eq!(split.memory.len(), 65536);
        assert_eq!(&split.memory[..5], b"data\0");
        let engine = Engine::new().unwrap();
        let compile = |bytes: &[u8]| {
            wasmtime::Module::from_binary(engine.handle(), bytes).unwrap().serialize().unwrap()
        };
        let before = compile(&wasm);
        let mut other = before.clone();
        assert!(!split.fill(&mut other));
        assert_eq!(other, before);
        let mut marked = compile(&split.code);
        assert!(split.fill(&mut marked));
        assert!(!split.fill(&mut marked), "the mark is gone");
        assert!(!split.fill(&mut mark(65536)), "a mark outside the section of data");
        assert!(!split.fill(&mut []));
    }

    #[test]
    fn code_whose_memory_is_not_known_ahead_stays_whole() {
        for text in [
            "(module)",
            r#"(module (import "env" "memory" (memory 1)) (data (i32.const 0) "data"))"#,
            r#"(module (memory 1) (memory 1) (data (i32.const 0) "data"))"#,
            r#"(module (memory i64 1) (data (i64.const 0) "data"))"#,
            r#"(module (memory 1) (data "data") (data (i32.const 0) "data"))"#,
            r#"(module (import "env" "at" (global i32)) (memory 1) (data (global.get 0) "data"))"#,
            r#"(module (memory 1) (data (i32.const 65535) "beyond"))"#,
            r#"(module (memory 1) (data "data")
                (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0))))"#,
        ] {
            assert!(split(&wat::parse_str(text).unwrap()).is_none(), "{text}");
        }
        assert!(split(b"no code").is_none());
    }

    #[test]
    fn an_empty_memory_needs_no_mark() {
        for text in ["(module (memory 1))", r#"(module (memory 1) (data (i32.const 0) ""))"#] {
            let wasm = wat::parse_str(text).unwrap();
            let split = split(&wasm).unwrap();
            assert_eq!((&split.code, split.memory.len()), (&wasm, 0));
            assert!(split.fill(&mut []));
        }
    }
}
