//! The reachability matrix for people, in the first of these forms that fits the terminal:
//!
//! 1. a matrix of words;
//! 2. a matrix of symbols, with numbered columns;
//! 3. both with networks of equal reachability merged, and a legend;
//! 4. a list of destinations for each source.

use std::fmt::Write;

use virt_forward_policy::Reachability;

use super::{
    compact::{CompactMatrix, MatrixRow},
    model::Status,
};
use crate::{
    output::{self, Cell, Table},
    terminal::{Style, Terminal},
};

const HEAD: &str = "FROM \\ TO";
const VERDICTS: [Reachability; 3] = [
    Reachability::Open,
    Reachability::Limited,
    Reachability::Closed,
];

pub(super) fn matrix(status: &Status, screen: &Terminal) -> String {
    let grid = CompactMatrix::new(status);
    let singly = grid.with_external_merged();
    let merged = grid.all_merged();
    let forms = [
        words as fn(&CompactMatrix, &Terminal) -> Option<String>,
        signs as fn(&CompactMatrix, &Terminal) -> Option<String>,
    ];
    for grid in [&singly, &merged] {
        if let Some(text) = forms.iter().find_map(|form| form(grid, screen)) {
            return text + &legend(grid, screen);
        }
    }
    list(&merged, screen) + &legend(&merged, screen)
}

pub(super) fn word(verdict: Reachability) -> &'static str {
    match verdict {
        Reachability::Open => "open",
        Reachability::Limited => "limited",
        Reachability::Closed => "closed",
    }
}

pub(super) fn tone(verdict: Reachability) -> Style {
    match verdict {
        Reachability::Open => Style::Good,
        Reachability::Limited => Style::Partial,
        Reachability::Closed => Style::Quiet,
    }
}

fn sign(verdict: Reachability) -> &'static str {
    match verdict {
        Reachability::Open => "+",
        Reachability::Limited => "~",
        Reachability::Closed => ".",
    }
}

fn words(grid: &CompactMatrix, screen: &Terminal) -> Option<String> {
    let labels: Vec<_> = grid.rows.iter().map(MatrixRow::label).collect();
    let mut table = Table::new(2);
    table.head([HEAD].into_iter().chain(labels.iter().map(String::as_str)));
    for (from, label) in labels.iter().enumerate() {
        let cells = (0..labels.len()).map(|to| match grid.verdict(from, to) {
            Some(verdict) => Cell::new(tone(verdict), word(verdict)),
            None => Cell::new(Style::Quiet, "-"),
        });
        table
            .rows
            .push([Cell::plain(label)].into_iter().chain(cells).collect());
    }
    (table.width() <= screen.width).then(|| table.text(screen))
}

fn signs(grid: &CompactMatrix, screen: &Terminal) -> Option<String> {
    let numbers: Vec<_> = (1..=grid.rows.len())
        .map(|number| number.to_string())
        .collect();
    let widest = numbers.last().map_or(1, String::len);
    let right = |text: &str| format!("{text:>widest$}");
    let mut table = Table::new(1);
    let heads: Vec<_> = numbers.iter().map(|number| right(number)).collect();
    let first = format!("{} {HEAD}", " ".repeat(widest));
    table.head(
        [first.as_str()]
            .into_iter()
            .chain(heads.iter().map(String::as_str)),
    );
    for (from, end) in grid.rows.iter().enumerate() {
        // Names take half of the screen at most.
        let label = output::cut(&end.label(), screen.width / 2);
        let number = heads.get(from).map_or("", String::as_str);
        let cells = (0..grid.rows.len()).map(|to| match grid.verdict(from, to) {
            Some(verdict) => Cell::new(tone(verdict), right(sign(verdict))),
            None => Cell::new(Style::Quiet, right("-")),
        });
        let head = Cell::plain(format!("{number} {label}"));
        table.rows.push([head].into_iter().chain(cells).collect());
    }
    if table.width() > screen.width {
        return None;
    }
    let said = VERDICTS.map(|verdict| {
        screen.paint(
            tone(verdict),
            &format!("{} {}", sign(verdict), word(verdict)),
        )
    });
    Some(format!("{}{}\n", table.text(screen), said.join("   ")))
}

/// The destinations of each source; the verdict of most of them does not list them one by one.
fn list(grid: &CompactMatrix, screen: &Terminal) -> String {
    let mut text = String::new();
    for (from, end) in grid.rows.iter().enumerate() {
        let label = output::cut(&end.label(), screen.width.saturating_sub(5));
        let _ = writeln!(
            text,
            "{}",
            screen.paint(Style::Head, &format!("from {label}"))
        );
        let of = |verdict: Reachability| {
            let named = grid.rows.iter().enumerate();
            let named = named.filter(move |(to, _)| grid.verdict(from, *to) == Some(verdict));
            named.map(|(to, end)| {
                if to == from {
                    "each other".to_owned()
                } else {
                    end.label()
                }
            })
        };
        let most = VERDICTS
            .into_iter()
            .max_by_key(|verdict| of(*verdict).count());
        for verdict in VERDICTS {
            let names: Vec<_> = of(verdict).collect();
            let names = match names.len() {
                0 => continue,
                4.. if most == Some(verdict) => "all others".to_owned(),
                _ => names.join(", "),
            };
            let head = format!("  {:<8} ", word(verdict));
            let line = output::hanging_indent(&head, &names, screen.width);
            let _ = writeln!(text, "{}", screen.paint(tone(verdict), &line));
        }
    }
    text
}

/// The endpoints of each label that stands for several; cut to one line, as the table of networks
/// lists them all.
fn legend(grid: &CompactMatrix, screen: &Terminal) -> String {
    let mut text = String::new();
    for end in grid.rows.iter().filter(|end| end.needs_a_legend()) {
        let line = format!("{}: {}", end.label(), end.members.join(", "));
        let line = output::cut(&line, screen.width);
        let _ = writeln!(text, "{}", screen.paint(Style::Quiet, &line));
    }
    text
}
