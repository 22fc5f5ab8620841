//! Tables, as Markdown for people and as JSON for machines.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Map, Value, json};

use crate::failure::{Doing as _, Outcome};
use crate::files::{Files, root};
use crate::goals::{self, Measure};
use crate::numbers::short;
use crate::requests::Cells;
use crate::variants::Variant;
use crate::workloads::WORKLOADS;

/// A part of the report.
#[derive(Debug)]
pub struct Section {
    pub key: &'static str,
    pub title: &'static str,
    pub note: String,
    pub tables: Vec<Table>,
    pub json: Value,
}

#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|title| (*title).to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Markdown whose columns line up on a screen, too.
    fn render(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let widths = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (place, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
            if place == 0 {
                text.extend(std::iter::repeat_n("| --- ", columns));
                text.push_str("|\n");
            }
        }
        text
    }
}

/// The section of the requests: the one table, and the ratios.
pub fn requests(variants: &[Variant], cells: &Cells) -> Section {
    let has_instructions = cells.have_instructions();
    let mut titles =
        vec!["workload", "variant", "requests/s", "p50, µs", "p99, µs", "CPU, µs", "**added CPU, µs**"];
    if has_instructions {
        titles.extend(["instructions", "added instructions"]);
    }
    let mut table = Table::new(&titles);
    let mut json = Vec::new();
    for workload in &WORKLOADS {
        for variant in variants {
            let Some(cell) = cells.find(workload.key, variant.key) else { continue };
            let added = cells.added(workload.key, variant.key);
            let shown = if variant.is_baseline() { None } else { added };
            let [rate, p50, p99, cpu] = [
                cell.median(|sample| sample.rate),
                cell.median(|sample| sample.p50),
                cell.median(|sample| sample.p99),
                cell.median(|sample| sample.cpu),
            ];
            let mut row = vec![
                format!("{} {}", workload.key, workload.title),
                variant.title.to_owned(),
                format!("{rate:.0}"),
                format!("{p50:.0}"),
                format!("{p99:.0}"),
                short(cpu),
                shown.map(|added| format!("**{}**", short(added))).unwrap_or_default(),
            ];
            let all = cell.instructions();
            let more = cells.added_instructions(workload.key, variant.key).filter(|_| !variant.is_baseline());
            if has_instructions {
                row.extend(
                    [all, more].map(|count| count.map(|count| format!("{count:.0}")).unwrap_or_default()),
                );
            }
            table.row(row);
            let samples: Vec<f64> = cell.samples.iter().map(|sample| sample.cpu).collect();
            json.push(json!({
                "workload": workload.key, "variant": variant.key, "requests_per_second": rate, "p50_us": p50,
                "p99_us": p99, "cpu_us": cpu, "added_cpu_us": added, "cpu_us_of_each_turn": samples,
                "instructions": all, "added_instructions": more,
            }));
        }
    }
    let mut tables = vec![table, goals::table(cells, Measure::Time)];
    if has_instructions {
        tables.push(goals::table(cells, Measure::Instructions));
    }
    Section {
        key: "requests",
        title: "What a request costs",
        note: "One worker. Added CPU is the time of the Envoy process for each request, less that without a filter. Below it \
               are ratios with their goals."
            .to_owned(),
        tables,
        json: Value::from(json),
    }
}

impl Section {
    fn heading(&self) -> String {
        format!("### {}\n", self.title)
    }

    fn render(&self) -> String {
        let mut text = format!("{}\n{}\n\n", self.heading(), self.note);
        for table in self.tables.iter().filter(|table| table.rows.len() > 1) {
            text.push_str(&table.render());
            text.push('\n');
        }
        text
    }
}

/// Everything that goes to people and to files.
pub fn render(sections: &[Section], notes: &[String]) -> String {
    let mut text: String = sections.iter().map(Section::render).collect();
    for note in notes {
        let _ = writeln!(text, "- {note}");
    }
    text
}

/// Writes `target/bench/report.md` and `report.json`.
pub fn write(files: &Files, text: &str, sections: &[Section], notes: &[String]) -> Outcome<()> {
    let mut json: Map<String, Value> =
        sections.iter().map(|section| (section.key.to_owned(), section.json.clone())).collect();
    json.insert("notes".to_owned(), notes.into());
    let json = format!("{:#}\n", Value::from(json));
    for (name, text) in [("report.md", text), ("report.json", json.as_str())] {
        let path = files.folder.join(name);
        fs::write(&path, text).doing(format!("writing {}", path.display()))?;
    }
    Ok(())
}

const PAGE: &str = "docs/PERFORMANCE.md";
const BEGIN: &str = "<!-- bench:begin -->\n";
const END: &str = "<!-- bench:end -->";

/// Puts the report between the marks in the documentation. Sections that were not measured stay as they are there.
pub fn update_page(sections: &[Section], notes: &[String]) -> Outcome<()> {
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).doing(format!("reading {PAGE}"))?;
    let (head, rest) = page.split_once(BEGIN).doing(format!("{PAGE} has no mark {}", BEGIN.trim()))?;
    let (old, tail) = rest.split_once(END).doing(format!("{PAGE} has no mark {END}"))?;
    let text = merge(old, sections, notes);
    fs::write(&path, format!("{head}{BEGIN}\n{text}\n{END}{tail}")).doing(format!("writing {PAGE}"))
}

/// The old text with the sections that are new. What is noted of a run is noted of all of it, or by section.
fn merge(old: &str, sections: &[Section], notes: &[String]) -> String {
    let is_note = |line: &&str| line.starts_with("- ");
    let body: String = old.lines().filter(|line| !is_note(line)).flat_map(|line| [line, "\n"]).collect();
    let mut blocks: Vec<String> =
        body.split("\n### ").skip(1).map(|block| format!("### {}\n\n", block.trim_end())).collect();
    let kept =
        blocks.iter().any(|block| !sections.iter().any(|section| block.starts_with(&section.heading())));
    let mut lines: Vec<String> = Vec::new();
    if kept {
        let is_of = |line: &&str, section: &Section| line.starts_with(&format!("- {}: ", section.title));
        let stays = |line: &&str| !sections.iter().any(|section| is_of(line, section));
        lines.extend(old.lines().filter(is_note).filter(stays).map(str::to_owned));
        lines.extend(sections.iter().map(|section| format!("- {}: {}", section.title, notes.join(" "))));
    } else {
        lines.extend(notes.iter().map(|note| format!("- {note}")));
    }
    for section in sections {
        match blocks.iter_mut().find(|block| block.starts_with(&section.heading())) {
            Some(block) => *block = section.render(),
            None => blocks.push(section.render()),
        }
    }
    format!("{}{}\n", blocks.concat(), lines.join("\n"))
}
