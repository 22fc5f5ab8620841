//! The report in `docs/PROXY_WASM.md`, between two markers.
//!
//! It is written from the tables, [`scenarios::ALL`] and [`differences::all`]; that the tables are true is
//! what the scenarios test. `GRAFT_UPDATE_DOCS=1` writes it, otherwise it is checked.

use std::fmt::Write as _;

use super::{differences, scenarios};

const BEGIN: &str = "<!-- parity:begin -->";
const END: &str = "<!-- parity:end -->";

/// The report, from marker to marker.
fn report() -> String {
    let mut text = format!(
        "{BEGIN}\n<!-- written by the parity runner, tests/envoy/parity: GRAFT_UPDATE_DOCS=1 -->\n\n"
    );
    let equal = scenarios::ALL.iter().filter(|(name, _)| differences::of(name).is_empty()).count();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} scenarios run in one Envoy 1.40.0 under `envoy.filters.http.wasm` (V8) and under Graft. \
         {equal} are equal in every line: what the client gets, what the upstream sees, what the plugin logs, \
         the access log. In the others the lines below differ, and no other.\n",
        scenarios::ALL.len(),
    );
    text.push_str("| scenario | what is compared | result |\n| --- | --- | --- |\n");
    for (name, scenario) in scenarios::ALL {
        let numbers: Vec<_> = differences::all()
            .enumerate()
            .filter(|(_, difference)| difference.shows_in.iter().any(|(shown, _)| shown == name))
            .map(|(index, _)| format!("[{0}](#difference-{0})", index + 1))
            .collect();
        let result =
            if numbers.is_empty() { "equal".to_owned() } else { format!("differs: {}", numbers.join(", ")) };
        let _ = writeln!(text, "| `{name}` | {} | {result} |", scenario().about);
    }
    for (index, difference) in differences::all().enumerate() {
        let _ = writeln!(text, "\n#### Difference {}\n\n{}\n", index + 1, difference.reason);
        text.push_str("```diff\n");
        for (name, lines) in difference.shows_in {
            let _ = writeln!(text, "# {name}");
            for line in *lines {
                let _ = writeln!(text, "{line}");
            }
        }
        text.push_str("```\n");
    }
    isolation(&mut text);
    text.push('\n');
    text.push_str(END);
    text
}

/// What differs between shared VMs and one for each stream.
fn isolation(text: &mut String) {
    let count = scenarios::ALL.len();
    let equal = scenarios::ALL
        .iter()
        .filter(|(name, _)| {
            differences::of_isolation(name).is_empty() && differences::of_isolation_at_times(name).is_empty()
        })
        .count();
    let _ = writeln!(
        text,
        "\n#### With a VM for each stream\n\nThe same {count} scenarios run with `graft.isolation: stream`, too. {equal} are \
         equal in every line to those with `shared`; in the others these lines differ (`-` shared, `+` stream).",
    );
    for difference in differences::OF_ISOLATION.iter().chain(differences::OF_ISOLATION_AT_TIMES) {
        let _ = writeln!(text, "\n{}\n\n```diff", difference.reason);
        for (name, lines) in difference.shows_in {
            let _ = writeln!(text, "# {name}");
            for line in *lines {
                let _ = writeln!(text, "{line}");
            }
        }
        text.push_str("```\n");
    }
}

#[test]
fn the_report_in_the_documentation_is_this_one() {
    let path = crate::harness::files::page("PROXY_WASM.md");
    let page = std::fs::read_to_string(&path).expect("docs/PROXY_WASM.md");
    let (before, rest) = page.split_once(BEGIN).expect("the marker of the report's begin");
    let (old, after) = rest.split_once(END).expect("the marker of the report's end");
    let fresh = report();
    if std::env::var_os("GRAFT_UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{fresh}{after}")).expect("writing the page");
        return;
    }
    assert!(
        format!("{BEGIN}{old}{END}") == fresh,
        "docs/PROXY_WASM.md is out of date; GRAFT_UPDATE_DOCS=1 writes it"
    );
}
