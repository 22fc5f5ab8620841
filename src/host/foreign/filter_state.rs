//! `declare_property` and `set_envoy_filter_state`: what kind of property is stored, and objects of Envoy's own.

use super::{Answer, Scene};
use crate::host::contexts::Context;
use crate::host::stream::{LifeSpan, Stream};
use crate::host::types::Status;
use crate::host::wire;

/// What a plugin declared a property to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) struct Declaration {
    /// Set once.
    pub(in crate::host) is_read_only: bool,
    /// Text in expressions; otherwise bytes.
    pub(in crate::host) is_text: bool,
    /// How long it is kept.
    pub(in crate::host) span: LifeSpan,
}

/// What was declared, by name.
#[derive(Debug, Default, Clone)]
pub(in crate::host) struct Declarations(Vec<(Box<str>, Declaration)>);

/// Most names that one context declares, and the longest of them.
const MOST_DECLARATIONS: usize = 1024;
const LONGEST_NAME: usize = 4096;

impl Declarations {
    /// What a property was declared to be.
    pub(in crate::host) fn find(&self, name: &[u8]) -> Option<Declaration> {
        self.0.iter().find(|(own, _)| own.as_bytes() == name).map(|(_, declaration)| *declaration)
    }

    fn enter(&mut self, name: &str, declaration: Declaration) -> Result<(), Status> {
        if self.find(name.as_bytes()).is_some() {
            return Err(Status::BadArgument);
        }
        if self.0.len() >= MOST_DECLARATIONS || name.len() > LONGEST_NAME {
            return Err(Status::InternalFailure);
        }
        self.0.push((name.into(), declaration));
        Ok(())
    }
}

/// `{1: string name, 2: bool readonly, 3: enum type, 4: string schema, 5: enum span}`.
///
/// What a root context declares holds for its streams. What a stream declares holds for nothing, as in the built-in
/// host: it is only remembered, so that the second time is refused.
pub(super) fn declare_property<S: Stream>(scene: Scene<'_, S>, message: &[u8]) -> Answer {
    /// `WasmType.String`; 0 are bytes, 2 flat buffers, 3 messages.
    const STRING: u64 = 1;
    let mut name = "";
    let mut declaration = Declaration { is_read_only: false, is_text: false, span: LifeSpan::FilterChain };
    wire::read(message, |number, value| {
        match number {
            1 => name = value.text()?,
            2 => declaration.is_read_only = value.number()? != 0,
            3 => declaration.is_text = value.number()? == STRING,
            4 => drop(value.text()?),
            5 => declaration.span = span(value.number()?),
            _ => {}
        }
        Some(())
    })
    .ok_or(Status::BadArgument)?;
    let declarations = match (scene.stream, scene.state.context()) {
        (Some(stream), _) => &mut stream.declarations,
        (None, Context::Root(root)) => {
            &mut scene.state.contexts.root_mut(root).ok_or(Status::NotFound)?.declarations
        }
        (None, Context::Vm | Context::Stream(_)) => return Err(Status::NotFound),
    };
    declarations.enter(name, declaration)?;
    Ok(Vec::new())
}

/// `{1: string path, 2: string value, 3: enum span}`: an object that Envoy makes of the value, by the factory of the
/// path's name.
pub(super) fn set_envoy_filter_state<S: Stream>(mut scene: Scene<'_, S>, message: &[u8]) -> Answer {
    let (mut path, mut object, mut life) = ("", "", LifeSpan::FilterChain);
    wire::read(message, |number, value| {
        match number {
            1 => path = value.text()?,
            2 => object = value.text()?,
            3 => life = span(value.number()?),
            _ => {}
        }
        Some(())
    })
    .ok_or(Status::BadArgument)?;
    scene.keep(path.len().saturating_add(object.len()))?;
    scene.stream()?.set_filter_state_object(path.as_bytes(), object.as_bytes(), life)?;
    Ok(Vec::new())
}

/// What is no life span is the shortest, as in the built-in host.
fn span(number: u64) -> LifeSpan {
    match number {
        1 => LifeSpan::Request,
        2 => LifeSpan::Connection,
        _ => LifeSpan::FilterChain,
    }
}
