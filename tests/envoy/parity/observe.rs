//! Everything that can be observed of one side, as lines that can be compared.
//!
//! Left out is what differs between any two runs: the header `date`, and how far a request came that broke
//! off. What a plugin logs while it starts (`proxy_on_vm_start`, `proxy_on_configure`) is compared as a set,
//! because the hosts start different numbers of VMs: the built-in filter a canary and one for each worker.

use std::collections::BTreeSet;

use crate::harness::log::Line;
use crate::harness::upstream::Seen;
use crate::harness::{End, Headers, Response};

/// Values longer than this are shown by their size and a hash.
const WHOLE: usize = 1000;

/// One observation: where it was made, and what it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Observed {
    /// Case and exchange, or the prefix of a plugin's log lines.
    pub place: String,
    /// Such as `status: 200`, or `log info: on_done stream`.
    pub what: String,
}

impl Observed {
    pub fn new(place: &str, what: String) -> Self {
        Self { place: place.to_owned(), what }
    }
}

/// An observation that only one side made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    OnlyBuiltIn(Observed),
    OnlyGraft(Observed),
}

impl Change {
    /// What changed, wherever it was: `- status: 503` for the built-in filter, `+ status: 200` for Graft.
    pub fn summary(&self) -> String {
        match self {
            Self::OnlyBuiltIn(observed) => format!("- {}", observed.what),
            Self::OnlyGraft(observed) => format!("+ {}", observed.what),
        }
    }

    /// Where it was.
    pub fn place(&self) -> &str {
        match self {
            Self::OnlyBuiltIn(observed) | Self::OnlyGraft(observed) => &observed.place,
        }
    }
}

/// An exchange, as seen from outside of Envoy.
pub fn exchange(place: &str, response: &Response, seen: &[Seen]) -> Vec<Observed> {
    let mut observed = Vec::new();
    let mut say = |what: &str, value: String| observed.push(Observed::new(place, format!("{what}: {value}")));
    for request in seen.iter().filter(|request| request.complete) {
        say("upstream saw", format!("{} {}", request.method, request.path));
        fields(&request.headers).for_each(|field| say("upstream saw header", field));
        say("upstream saw body", quote(&request.body));
        fields(&request.trailers).for_each(|field| say("upstream saw trailer", field));
    }
    say("status", response.status.to_string());
    fields(&response.headers).for_each(|field| say("header", field));
    // How much of a body came before it broke off is a matter of time.
    if response.end == End::Complete {
        say("body", quote(&response.body));
    }
    fields(&response.trailers).for_each(|field| say("trailer", field));
    say("end", format!("{:?}", response.end));
    observed
}

fn fields(headers: &Headers) -> impl Iterator<Item = String> {
    headers
        .iter()
        .filter(|(name, _)| name != "date")
        .map(|(name, value)| format!("{name}: {}", quote(value.as_bytes())))
}

/// Bytes as text on one line; long ones by size and hash.
fn quote(bytes: &[u8]) -> String {
    if bytes.len() <= WHOLE {
        // Quotes are as readable as they are.
        return bytes.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'");
    }
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{} bytes #{hash:016x}", bytes.len())
}

/// What plugins logged through a logger, in order, with its level.
pub fn plugin_lines(log: &[Line], logger: &str) -> Vec<Observed> {
    log.iter()
        .filter(|line| line.logger == logger)
        .filter_map(|line| {
            let (prefix, text) = line.of_plugin()?.split_once(": ")?;
            Some(Observed::new(prefix, format!("log {}: {}", line.level, quote(timeless(text).as_bytes()))))
        })
        .collect()
}

/// Takes out what differs from day to day: the value of the header `date`, if a plugin logged it, how long an
/// upstream took, and the line of a plugin's source that panicked.
fn timeless(text: &str) -> String {
    let text = without(text, "date=", " GMT");
    let text = without(&text, "x-envoy-upstream-service-time=", "]");
    without(&text, "panicked at ", ":\n")
}

/// Puts a star in place of what stands between two texts.
fn without(text: &str, begin: &str, end: &str) -> String {
    let Some((before, rest)) = text.split_once(begin) else { return text.to_owned() };
    match rest.split_once(end) {
        Some((_, after)) => format!("{before}{begin}*{end}{}", without(after, begin, end)),
        None => text.to_owned(),
    }
}

/// Splits what a plugin logged in what it says at its start, as a set, and the rest, in order. A VM that
/// starts later says the same again: that belongs to the start, too.
pub fn split_start(before_traffic: &[Observed], all: &[Observed]) -> (BTreeSet<Observed>, Vec<Observed>) {
    let start: BTreeSet<_> = before_traffic.iter().cloned().collect();
    let rest = all.iter().filter(|line| !start.contains(line)).cloned().collect();
    (start, rest)
}

/// What must be changed in what the built-in filter did to get what Graft did, in order.
pub fn difference(built_in: &[Observed], graft: &[Observed]) -> Vec<Change> {
    // The table of longest common subsequences of what follows; both sides are some hundred lines at most.
    let mut table = vec![vec![0_usize; graft.len() + 1]; built_in.len() + 1];
    for i in (0..built_in.len()).rev() {
        for j in (0..graft.len()).rev() {
            table[i][j] = if built_in[i] == graft[j] {
                table[i + 1][j + 1] + 1
            } else {
                table[i + 1][j].max(table[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut changes) = (0, 0, Vec::new());
    while i < built_in.len() || j < graft.len() {
        if i < built_in.len() && j < graft.len() && built_in[i] == graft[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == graft.len() || (i < built_in.len() && table[i + 1][j] >= table[i][j + 1]) {
            changes.push(Change::OnlyBuiltIn(built_in[i].clone()));
            i += 1;
        } else {
            changes.push(Change::OnlyGraft(graft[j].clone()));
            j += 1;
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Observed> {
        text.chars().map(|what| Observed::new("here", what.to_string())).collect()
    }

    #[test]
    fn a_difference_is_what_changes_and_nothing_else() {
        let changes = |left, right| {
            difference(&lines(left), &lines(right)).iter().map(Change::summary).collect::<Vec<_>>()
        };
        assert_eq!(changes("abc", "abc"), Vec::<String>::new());
        assert_eq!(changes("abcd", "axcde"), ["- b", "+ x", "+ e"]);
    }

    #[test]
    fn a_vm_that_starts_late_repeats_the_start_and_nothing_of_a_stream_is_lost() {
        let all = lines("SaSb");
        let (start, rest) = split_start(&all[..1], &all);
        assert_eq!(start.len(), 1);
        assert_eq!(rest, lines("ab"));
    }
}
