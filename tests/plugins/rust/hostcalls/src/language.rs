//! The language of the configuration: one line, one operation.
//!
//! ```text
//! callback: [condition...] [repeat N] operation [argument...]
//! ```
//!
//! `README.md` of this plugin lists them all. A line that cannot be understood refuses the configuration, with
//! the line's number, so a test does not pass because of a misspelt operation that never ran.

use crate::operations::{self, Body};

/// The callbacks that a script can name, as the host's `proxy_on_*` without that prefix.
pub const CALLBACKS: &[&str] = &[
    "context_create",
    "vm_start",
    "configure",
    "tick",
    "request_headers",
    "request_body",
    "request_trailers",
    "response_headers",
    "response_body",
    "response_trailers",
    "new_connection",
    "downstream_data",
    "upstream_data",
    "downstream_connection_close",
    "upstream_connection_close",
    "http_call_response",
    "grpc_receive_initial_metadata",
    "grpc_receive",
    "grpc_receive_trailing_metadata",
    "grpc_close",
    "queue_ready",
    "foreign_function",
    "resolve_dns",
    "done",
    "log",
    "delete",
];

/// A question that has to be answered yes for the operation to run.
#[derive(Debug, PartialEq)]
pub enum Condition {
    /// `if-eos`, `if-not-eos`: whether the callback was told that its stream direction ends here.
    EndOfStream(bool),
    /// `if-nth N`: only the Nth time (from 1) that this context gets this callback.
    Nth(u32),
    /// `if-root`, `if-stream`: the kind of context.
    Root(bool),
    /// `if-header MAP NAME VALUE`: asked from the host without a line in the log.
    Header { map: u32, name: Vec<u8>, value: Vec<u8> },
}

/// One line of the script.
pub struct Step {
    /// Index in [`CALLBACKS`].
    pub callback: &'static str,
    /// All of these have to hold.
    pub conditions: Vec<Condition>,
    /// How often to make the hostcall, if one is to be made more than once: the answers are then counted.
    pub repeat: Option<u32>,
    /// What to do.
    pub body: Body,
    /// The operation as it was written, for the log.
    pub source: String,
    /// The operation's arguments.
    pub arguments: Arguments,
}

/// The words after an operation, unquoted.
#[derive(Debug, Default, PartialEq)]
pub struct Arguments(pub Vec<Vec<u8>>);

impl Arguments {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The bytes of an argument; an argument that is not there is empty.
    pub fn bytes(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], Vec::as_slice)
    }

    /// The arguments from an index on, in pairs of name and value.
    pub fn pairs_from(&self, index: usize) -> Vec<(&[u8], &[u8])> {
        let rest = self.0.get(index..).unwrap_or_default();
        rest.chunks(2).map(|pair| (pair[0].as_slice(), pair.get(1).map_or(&[][..], Vec::as_slice))).collect()
    }

    /// An argument as a number: decimal, negative or `0x` hexadecimal.
    pub fn number(&self, index: usize) -> Result<i64, String> {
        let text = String::from_utf8_lossy(self.bytes(index));
        let parsed = match text.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        parsed.map_err(|_| format!("argument {} is not a number: {text}", index + 1))
    }

    /// An argument as the 32 bits that a hostcall takes: -1 is 0xffffffff.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn word(&self, index: usize) -> Result<u32, String> {
        self.number(index).map(|number| number as u32)
    }

    /// An argument as one of some names, or else as a number.
    pub fn named(&self, index: usize, names: &[(&str, u32)]) -> Result<u32, String> {
        match names.iter().find(|(name, _)| name.as_bytes() == self.bytes(index)) {
            Some((_, number)) => Ok(*number),
            None => self.word(index),
        }
    }
}

/// Reads a script.
///
/// # Errors
/// Says which line is wrong, and how.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        steps.push(parse_line(line).map_err(|problem| format!("line {}: {problem}", index + 1))?);
    }
    Ok(steps)
}

fn parse_line(line: &str) -> Result<Step, String> {
    let (callback, rest) = line.split_once(':').ok_or("expected `callback: operation`")?;
    let callback = *CALLBACKS
        .iter()
        .find(|known| **known == callback.trim())
        .ok_or_else(|| format!("no callback is called {callback:?}"))?;

    let mut conditions = Vec::new();
    let mut rest = rest.trim();
    while let Some((condition, after)) = parse_condition(rest)? {
        conditions.push(condition);
        rest = after;
    }

    let source = rest;
    let repeat = match rest.strip_prefix("repeat ") {
        Some(counted) => {
            let (count, operation) =
                counted.trim_start().split_once(' ').ok_or("repeat wants an operation")?;
            rest = operation;
            Some(count.parse().map_err(|_| format!("not a count: {count:?}"))?)
        }
        None => None,
    };

    let mut words = words(rest)?.into_iter();
    let verb = words.next().ok_or("expected an operation")?;
    let verb = String::from_utf8_lossy(&verb).into_owned();
    let arguments = Arguments(words.collect());
    let body = operations::find(&verb, arguments.count())?;
    Ok(Step { callback, conditions, repeat, body, source: source.to_owned(), arguments })
}

/// Takes one condition from the front, if there is one.
fn parse_condition(text: &str) -> Result<Option<(Condition, &str)>, String> {
    let Some((condition, words)) =
        [("if-eos", 0), ("if-not-eos", 0), ("if-nth", 1), ("if-root", 0), ("if-stream", 0), ("if-header", 3)]
            .into_iter()
            .find(|(name, _)| text.split_whitespace().next() == Some(name))
    else {
        return Ok(None);
    };

    let mut rest = text[condition.len()..].trim_start();
    let mut arguments = Arguments::default();
    for _ in 0..words {
        let (word, after) = word(rest)?.ok_or_else(|| format!("{condition} wants {words} arguments"))?;
        arguments.0.push(word);
        rest = after.trim_start();
    }
    let condition = match condition {
        "if-eos" => Condition::EndOfStream(true),
        "if-not-eos" => Condition::EndOfStream(false),
        "if-nth" => Condition::Nth(arguments.word(0)?),
        "if-root" => Condition::Root(true),
        "if-stream" => Condition::Root(false),
        _ => Condition::Header {
            map: arguments.named(0, operations::MAPS)?,
            name: arguments.bytes(1).to_vec(),
            value: arguments.bytes(2).to_vec(),
        },
    };
    Ok(Some((condition, rest)))
}

fn words(mut text: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    while let Some((word, rest)) = word(text)? {
        words.push(word);
        text = rest;
    }
    Ok(words)
}

/// Takes one word from the front: up to a space, or between double quotes (with `\n \r \t \0 \" \\ \xHH`).
/// `WORD**N` is the word N times.
fn word(text: &str) -> Result<Option<(Vec<u8>, &str)>, String> {
    let text = text.trim_start();
    if text.is_empty() {
        return Ok(None);
    }
    let (mut word, mut rest) = if let Some(quoted) = text.strip_prefix('"') {
        unquote(quoted)?
    } else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let end = text.find("**").map_or(end, |stars| stars.min(end));
        (text.as_bytes()[..end].to_vec(), &text[end..])
    };
    if let Some(repeated) = rest.strip_prefix("**") {
        let end = repeated.find(char::is_whitespace).unwrap_or(repeated.len());
        let times = repeated[..end].parse().map_err(|_| format!("not a count: {:?}", &repeated[..end]))?;
        word = word.repeat(times);
        rest = &repeated[end..];
    }
    Ok(Some((word, rest)))
}

fn unquote(text: &str) -> Result<(Vec<u8>, &str), String> {
    let mut bytes = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((bytes, &text[at + 1..])),
            '\\' => bytes.push(match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => b'\n',
                Some('r') => b'\r',
                Some('t') => b'\t',
                Some('0') => 0,
                Some('"') => b'"',
                Some('\\') => b'\\',
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).map(|(_, digit)| digit).collect();
                    u8::from_str_radix(&digits, 16).map_err(|_| format!("not a byte: \\x{digits}"))?
                }
                other => return Err(format!("unknown escape {other:?}")),
            }),
            _ => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("a quote is not closed".to_owned())
}
