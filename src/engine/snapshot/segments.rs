//! Spent data segments, taken out of a snapshot.
//!
//! The segments that code began with are in memory when its picture is taken, so in a snapshot they are empty. They keep
//! their numbers, for instructions that name one; code of a whole SDK names none. Each costs every instance some bytes
//! and time, and code of Go has thirty thousand.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{DataSection, Module, RawSection};
use wasmparser::{DataKind, DataSectionReader, Operator, Parser, Payload};

/// The code without its empty passive segments, or as it is if an instruction could name one.
///
/// # Errors
/// It is no valid code.
pub(super) fn without_spent(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if names_segments(&bytes).map_err(|error| error.to_string())? {
        return Ok(bytes);
    }
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(&bytes) {
        let payload = payload.map_err(|error| error.to_string())?;
        if let Payload::DataSection(segments) = payload {
            module.section(&kept(segments)?);
        } else if let Payload::DataCountSection { .. } = payload {
            // Only instructions that name segments want it.
        } else if let Some((id, range)) = payload.as_section() {
            module.section(&RawSection { id, data: bytes.get(range).unwrap_or_default() });
        }
    }
    Ok(module.finish())
}

/// The segments that hold something, or that write it.
fn kept(segments: DataSectionReader<'_>) -> Result<DataSection, String> {
    let mut kept = DataSection::new();
    for segment in segments {
        let segment = segment.map_err(|error| error.to_string())?;
        let is_spent = matches!(segment.kind, DataKind::Passive) && segment.data.is_empty();
        if !is_spent {
            RoundtripReencoder.parse_data(&mut kept, segment).map_err(|error| error.to_string())?;
        }
    }
    Ok(kept)
}

/// Whether an instruction could name a segment.
pub(super) fn names_segments(bytes: &[u8]) -> wasmparser::Result<bool> {
    for payload in Parser::new(0).parse_all(bytes) {
        let Payload::CodeSectionEntry(body) = payload? else { continue };
        for operator in body.get_operators_reader()? {
            if let Operator::MemoryInit { .. } | Operator::DataDrop { .. } | Operator::ArrayNewData { .. } =
                operator?
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(bytes: &[u8]) -> Vec<usize> {
        Parser::new(0)
            .parse_all(bytes)
            .filter_map(|payload| {
                if let Payload::DataSection(segments) = payload.unwrap() { Some(segments) } else { None }
            })
            .flat_map(|segments| segments.into_iter().map(|segment| segment.unwrap().data.len()))
            .collect()
    }

    fn code(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn empty_segments_go_and_the_others_stay() {
        let bytes = code(
            r#"(module (memory (export "memory") 1) (func (export "f") (result i32) (i32.load8_u (i32.const 8)))
                (data "") (data (i32.const 8) "abc") (data "") (data "kept") (data (i32.const 0) ""))"#,
        );
        let without = without_spent(bytes).unwrap();
        assert_eq!(segments(&without), [3, 4, 0]);
        wasmparser::validate(&without).unwrap();
    }

    #[test]
    fn code_that_names_segments_keeps_them() {
        let bytes = code(
            r#"(module (memory 1) (data "") (data "abc")
                (func (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 3))))"#,
        );
        assert_eq!(without_spent(bytes.clone()).unwrap(), bytes);
    }

    #[test]
    fn code_without_segments_passes() {
        let bytes = code("(module (func))");
        assert_eq!(without_spent(bytes.clone()).unwrap(), bytes);
    }
}
