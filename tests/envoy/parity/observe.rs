//! Everything that can be observed of one side, as lines that can be compared.
//!
//! Left out is what differs between any two runs: the header `date`. What a plugin logs while it starts
//! (`proxy_on_vm_start`, `proxy_on_configure`) is compared as a set, because the hosts start different numbers of
//! VMs: the built-in filter a canary and one for each worker.

use std::collections::BTreeSet;

use crate::harness::log::Line;
use crate::harness::upstream::Seen;
use crate::harness::{End, Headers, Response};

/// Values longer than this are shown by their size and a hash.
const WHOLE: usize = 1000;

/// The lines of an exchange, as seen from outside of Envoy.
pub fn exchange(name: &str, response: &Response, seen: &[Seen]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |what: &str, value: String| lines.push(format!("{name} {what}: {value}"));
    // How far a request came that broke off is a matter of time.
    for request in seen.iter().filter(|request| request.complete) {
        say("upstream saw", format!("{} {}", request.method, request.path));
        fields(&request.headers).for_each(|field| say("upstream saw header", field));
        say("upstream saw body", quote(&request.body));
        fields(&request.trailers).for_each(|field| say("upstream saw trailer", field));
    }
    say("status", response.status.to_string());
    fields(&response.headers).for_each(|field| say("header", field));
    if response.end == End::Complete {
        say("body", quote(&response.body));
    }
    fields(&response.trailers).for_each(|field| say("trailer", field));
    say("end", format!("{:?}", response.end));
    lines
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
        return bytes.escape_ascii().to_string();
    }
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{} bytes #{hash:016x}", bytes.len())
}

/// What plugins logged through a logger, in order, with its level.
pub fn plugin_lines(log: &[Line], logger: &str) -> Vec<String> {
    log.iter()
        .filter(|line| line.logger == logger)
        .filter_map(|line| {
            line.of_plugin().map(|text| format!("log {}: {}", line.level, text.escape_debug()))
        })
        .collect()
}

/// Splits what a plugin logged in what it says at its start, as a set, and the rest, in order. A VM that
/// starts later says the same again: that belongs to the start, too.
pub fn split_start(before_traffic: &[String], all: &[String]) -> (BTreeSet<String>, Vec<String>) {
    let start: BTreeSet<_> = before_traffic.iter().cloned().collect();
    let rest = all.iter().filter(|line| !start.contains(*line)).cloned().collect();
    (start, rest)
}

/// What must be changed in `left` to get `right`: lines with `- ` and `+ `, in order.
pub fn difference(left: &[String], right: &[String]) -> Vec<String> {
    // The table of longest common subsequences of what follows; both sides are some hundred lines at most.
    let mut table = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            table[i][j] = if left[i] == right[j] {
                table[i + 1][j + 1] + 1
            } else {
                table[i + 1][j].max(table[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut changes) = (0, 0, Vec::new());
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() && left[i] == right[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == right.len() || (i < left.len() && table[i + 1][j] >= table[i][j + 1]) {
            changes.push(format!("- {}", left[i]));
            i += 1;
        } else {
            changes.push(format!("+ {}", right[j]));
            j += 1;
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_what_changes_and_nothing_else() {
        let lines = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        assert!(difference(&lines("abc"), &lines("abc")).is_empty());
        assert_eq!(difference(&lines("abcd"), &lines("axcde")), ["- b", "+ x", "+ e"]);
    }

    #[test]
    fn a_vm_that_starts_late_repeats_the_start_and_nothing_of_a_stream_is_lost() {
        let line = |text: &str| text.to_owned();
        let all = [line("start"), line("stream"), line("start"), line("stream")];
        let (start, rest) = split_start(&all[..1], &all);
        assert_eq!(start.len(), 1);
        assert_eq!(rest, ["stream", "stream"]);
    }
}
