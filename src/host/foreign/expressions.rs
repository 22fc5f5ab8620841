//! `expr_create`, `expr_evaluate`, `expr_delete`: expressions of CEL over the attributes of a stream.
//!
//! An expression is parsed once. The attributes that it names are noted then ([`attributes`]), and only those are asked
//! of the stream when it is evaluated, through the same lookup as `proxy_get_property`. An expression runs in the host,
//! where no deadline stops it, so what it may cost is estimated when it is made ([`bounds`]), and one that could cost
//! too much is refused.
//!
//! Expressions belong to the plugin's root context and end with it.

mod attributes;
mod bounds;
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::{Context as Variables, Env, Program};
use once_cell::sync::Lazy;

use self::attributes::Attributes;
use super::{Answer, Scene, token};
use crate::host::contexts::{Context, Root, RootIndex};
use crate::host::stream::Stream;
use crate::host::types::Status;
use crate::host::vm::State;
use crate::telemetry::Level;

/// The standard functions and macros of CEL.
static STANDARD: Lazy<Arc<Env>> = Lazy::new(|| Arc::new(Env::stdlib()));

/// Most bytes of one expression's text, and of all that a plugin holds in one VM. Parsed, an expression takes some
/// fifty times as much.
const LONGEST_EXPRESSION: usize = 4096;
const MOST_TEXT: usize = 256 * 1024;

/// Most expressions of a plugin in one VM.
const MOST_EXPRESSIONS: usize = 4096;

/// The expressions of one root context, by token.
#[derive(Debug, Default, Clone)]
pub(in crate::host) struct Expressions {
    next: u32,
    text: usize,
    table: Vec<(u32, Arc<Expression>)>,
}

#[derive(Debug)]
struct Expression {
    program: Program,
    attributes: Attributes,
    text: usize,
}

impl Expressions {
    fn has_room(&self, text: usize) -> bool {
        self.table.len() < MOST_EXPRESSIONS && self.text.saturating_add(text) <= MOST_TEXT
    }

    /// Leaves the next token out.
    fn skip(&mut self) {
        self.next = self.next.wrapping_add(1);
    }

    /// Tokens count from 0; after four thousand million they begin again, without those in use.
    fn enter(&mut self, expression: Expression) -> u32 {
        while self.find(self.next).is_some() {
            self.skip();
        }
        let token = self.next;
        self.skip();
        self.text = self.text.saturating_add(expression.text);
        self.table.push((token, Arc::new(expression)));
        token
    }

    fn find(&self, token: u32) -> Option<&Arc<Expression>> {
        self.table.iter().find(|(own, _)| *own == token).map(|(_, expression)| expression)
    }

    fn remove(&mut self, token: u32) {
        if let Some(place) = self.table.iter().position(|(own, _)| *own == token) {
            let (_, expression) = self.table.swap_remove(place);
            self.text = self.text.saturating_sub(expression.text);
        }
    }
}

/// Text of an expression to its token.
pub(super) fn create<S: Stream>(mut scene: Scene<'_, S>, text: &[u8]) -> Answer {
    let length = text.len();
    if !root(&mut scene)?.expressions.has_room(length) {
        return Err(Status::InternalFailure);
    }
    let reason = match compile(text) {
        Ok(expression) if unknown_function(&expression.program).is_none() => {
            let token = root(&mut scene)?.expressions.enter(expression);
            return Ok(token.to_le_bytes().to_vec());
        }
        Ok(expression) => {
            // The built-in host notices this after it has taken a token.
            root(&mut scene)?.expressions.skip();
            let name = unknown_function(&expression.program).unwrap_or_default();
            format!("no function is called {name:?}")
        }
        Err(reason) => reason,
    };
    note(scene.state, Level::Info, &format!("expr_create: {reason}"));
    Err(Status::BadArgument)
}

/// A token to the value, in its wire form.
pub(super) fn evaluate<S: Stream>(mut scene: Scene<'_, S>, argument: &[u8]) -> Answer {
    let token = token(argument)?;
    let expression = Arc::clone(root(&mut scene)?.expressions.find(token).ok_or(Status::NotFound)?);
    let mut variables = Variables::with_env(Arc::clone(&STANDARD));
    for (name, value) in expression.attributes.look_up(&mut scene) {
        variables.add_variable_from_value(name, value);
    }
    // The library is not ours, and what it is given is a plugin's.
    let evaluated = catch_unwind(AssertUnwindSafe(|| expression.program.execute(&variables)));
    let error = match evaluated {
        Ok(Ok(value)) => return values::encode(&value),
        Ok(Err(error)) => error.to_string(),
        Err(_panic) => "the evaluator failed".to_owned(),
    };
    note(scene.state, Level::Debug, &format!("expr_evaluate: {error}"));
    Err(Status::InternalFailure)
}

/// A token that is not needed any more. One that is not there is fine.
pub(super) fn delete<S: Stream>(mut scene: Scene<'_, S>, argument: &[u8]) -> Answer {
    let token = token(argument)?;
    root(&mut scene)?.expressions.remove(token);
    Ok(Vec::new())
}

/// An expression that can be evaluated, or what is wrong with it.
fn compile(text: &[u8]) -> Result<Expression, String> {
    if text.len() > LONGEST_EXPRESSION {
        return Err(format!("{} bytes, expected at most {LONGEST_EXPRESSION}", text.len()));
    }
    let source = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let program = catch_unwind(|| STANDARD.compile(source))
        .map_err(|_panic| "the parser failed".to_owned())?
        .map_err(|error| error.to_string())?;
    bounds::check(program.expression())?;
    let attributes = Attributes::of(program.expression());
    Ok(Expression { program, attributes, text: text.len() })
}

/// Functions and macros of CEL by name; operators have names that cannot be written.
const FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// A function that is called and is none.
fn unknown_function(program: &Program) -> Option<String> {
    let is_written = |name: &&str| name.starts_with(|first: char| first.is_ascii_alphabetic());
    let references = program.references();
    let mut functions = references.functions().into_iter().filter(is_written);
    functions.find(|name| !FUNCTIONS.contains(name)).map(str::to_owned)
}

/// The plugin that the guest acts for.
fn root<'a, S: Stream>(scene: &'a mut Scene<'_, S>) -> Result<&'a mut Root, Status> {
    let index = root_index(scene).ok_or(Status::NotFound)?;
    scene.state.contexts.root_mut(index).ok_or(Status::NotFound)
}

fn root_index<S: Stream>(scene: &Scene<'_, S>) -> Option<RootIndex> {
    match (&scene.stream, scene.state.context()) {
        (Some(stream), _) => Some(stream.root),
        (None, Context::Root(root)) => Some(root),
        (None, Context::Vm | Context::Stream(_)) => None,
    }
}

/// A line for the plugin's author.
fn note<S: Stream>(state: &mut State<S>, level: Level, line: &str) {
    state.note(state.context(), level, line);
}
