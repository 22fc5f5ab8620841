//! The state of all plugins for people: plain text, as Envoy's own pages are.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Picture, use_of};
use crate::bridge::metrics::Totals;
use crate::config::Isolation;
use crate::lifecycle::slot::Stage;
use crate::lifecycle::slot::status::{GenerationStatus, Status};

/// The whole page.
pub(super) fn render(picture: &Picture) -> String {
    let count = picture.plugins.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut page = format!("Graft {}: {count} plugin{plural}\n", env!("CARGO_PKG_VERSION"));
    if picture.is_starting {
        page.push_str("start-up waits: Envoy does not serve yet (graft.startup_wait)\n");
    }
    for (status, totals) in &picture.plugins {
        page.push('\n');
        plugin(&mut page, status, totals);
    }
    page
}

/// Writing to a string cannot fail.
macro_rules! line {
    ($page:expr, $($what:tt)*) => {{
        let _written = writeln!($page, $($what)*);
    }};
}

fn plugin(page: &mut String, status: &Status, totals: &Totals) {
    let (name, what) = (plain(&status.plugin), use_of(status.purpose));
    line!(page, "{name} ({what}): {} for {}", status.stage, span(status.stage_for));
    let polls = status.poll_interval.map(|interval| format!(", looked at every {}", span(interval)));
    line!(page, "  source      {}{}", plain(&status.source), polls.unwrap_or_default());
    let isolation = match status.isolation {
        Isolation::Shared => "shared: streams of a worker share a VM",
        Isolation::Stream => "stream: each stream has a VM of its own",
    };
    line!(page, "  isolation   {isolation}");
    if let Some(error) = &status.last_error {
        line!(page, "  last error  {}", plain(error));
    }
    match status.retry_in {
        Some(wait) => line!(page, "  next try    in {}", span(wait)),
        None if status.stage == Stage::Failed => {
            let looks = status.poll_interval.is_some();
            let when = if looks { "when the source changes" } else { "with the next configuration" };
            line!(page, "  next try    {when}, or with POST /graft/reload");
        }
        None => {}
    }
    if let Some(error) = &status.optimizer_error {
        let again = status.optimizer_retry_in.map(|wait| format!("; next try in {}", span(wait)));
        line!(page, "  optimiser   {}{}", plain(error), again.unwrap_or_default());
    }
    if status.waiting > 0 {
        line!(page, "  waiting     {} streams, for the first generation", status.waiting);
    }
    if let Some(trial) = status.trial {
        let left = span(trial.left);
        line!(
            page,
            "  canary      generation {}, {} % of new streams, {left} left",
            trial.number,
            trial.percent
        );
    }
    let counts = totals.list().map(|(name, count)| format!("{} {count}", name.replace('_', " ")));
    line!(page, "  counts      {}", counts.join(", "));
    generations(page, &status.generations);
}

const COLUMNS: [&str; 8] = ["generation", "role", "streams", "begun", "failures", "VMs", "memory", "age"];

fn generations(page: &mut String, generations: &[GenerationStatus]) {
    if generations.is_empty() {
        page.push_str("  no generation yet\n");
        return;
    }
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(generations.iter().map(|generation| {
        [
            generation.number.to_string(),
            generation.role.to_string(),
            generation.streams.to_string(),
            generation.begun.to_string(),
            generation.failures.to_string(),
            generation.vms.to_string(),
            size(generation.memory_bytes),
            span(generation.age),
        ]
    }));
    let mut codes = vec!["code".to_owned()];
    codes.extend(generations.iter().map(|generation| {
        let revision = match generation.revision.as_str() {
            "" => String::new(),
            revision => format!(", revision {}", plain(revision)),
        };
        let tier = if generation.is_optimized { "" } else { ", compiled quickly" };
        format!("sha256:{}{revision}{tier}", generation.digest)
    }));
    let mut widths = [0_usize; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for (row, code) in rows.iter().zip(codes) {
        page.push(' ');
        for (cell, width) in row.iter().zip(widths) {
            let _written = write!(page, " {cell:<width$} ");
        }
        line!(page, " {code}");
    }
}

/// A text of somebody else's, on one line: what does not print is written as in Rust's strings.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' => plain.push(character),
            other => plain.extend(other.escape_debug()),
        }
    }
    plain
}

/// A time in its two largest units.
fn span(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = time.as_secs();
    if rest == 0 {
        return format!("{} ms", time.as_millis());
    }
    let mut parts = Vec::new();
    for (seconds, unit) in UNITS {
        let whole = rest.checked_div(seconds).unwrap_or(0);
        rest = rest.checked_rem(seconds).unwrap_or(0);
        if whole > 0 && parts.len() < 2 {
            parts.push(format!("{whole} {unit}"));
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.join(" ")
}

/// Bytes as people read them.
fn size(bytes: usize) -> String {
    match bytes {
        0 => "0".to_owned(),
        1..0x10_0000 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1024 * 1024)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        for (milliseconds, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_999, "1 s"),
            (125_000, "2 min 5 s"),
            (3_600_000, "1 h"),
            (3_605_000, "1 h"),
            (90_061_000, "1 d 1 h"),
        ] {
            assert_eq!(span(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn what_does_not_print_is_written_out() {
        assert_eq!(
            plain("a \"b\" <script>\n\u{1b}[2J\\\u{202e}\u{e9}"),
            "a \"b\" <script>\\n\\u{1b}[2J\\\\\\u{202e}\u{e9}"
        );
    }

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!([size(0), size(65_536), size(3_100_000)], ["0", "64 KiB", "3 MiB"]);
    }
}
