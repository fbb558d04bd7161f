//! The reasons for the reachability of pairs, for people.

use std::fmt::Write;

use virt_forward_policy::MatrixEndpoint;

use super::{
    endpoint::label,
    matrix::{tone, word},
    model::{PairStatus, Status},
};
use crate::{
    output::{self, Cell, Table},
    terminal::{Style, Terminal},
};

/// The width that a reason needs beside its pair; in a narrower space it goes below.
const ROOM: usize = 30;

impl Status {
    /// The reasons of every pair; with one of `names`, of the pairs that it is part of; with two, of
    /// those from the first to the second.
    ///
    /// # Errors
    ///
    /// The first name that is no endpoint.
    pub(crate) fn reasons(&self, names: &[String], screen: &Terminal) -> Result<String, String> {
        let mut meant = Vec::new();
        for name in names {
            let endpoints = self.endpoints_named(name);
            meant.push(endpoints.ok_or_else(|| name.clone())?);
        }
        let has = |endpoints: &[MatrixEndpoint], end| endpoints.contains(end);
        let pairs = self.reach.iter().chain(&self.outside);
        let pairs = pairs.filter(|pair| match meant.as_slice() {
            [] => true,
            [one] => has(one, &pair.from) || has(one, &pair.to),
            [from, to, ..] => has(from, &pair.from) && has(to, &pair.to),
        });
        Ok(for_people(&pairs.collect::<Vec<_>>(), screen))
    }
}

fn for_people(cells: &[&PairStatus], screen: &Terminal) -> String {
    if cells.is_empty() {
        return "no matching pair\n".to_owned();
    }
    let mut table = Table::new(2);
    table.head(["FROM", "TO", "VERDICT"]);
    for cell in cells {
        let verdict = Cell::new(tone(cell.verdict), word(cell.verdict));
        let ends = [&cell.from, &cell.to].map(|end| Cell::plain(label(end)));
        table.rows.push(ends.into_iter().chain([verdict]).collect());
    }
    match screen.width.checked_sub(table.width() + 2) {
        Some(room) if room >= ROOM => beside(table, cells, room, screen),
        _ => below(cells, screen),
    }
}

fn beside(mut table: Table, cells: &[&PairStatus], room: usize, screen: &Terminal) -> String {
    let pairs = std::mem::take(&mut table.rows);
    for (at, mut row) in pairs.into_iter().enumerate() {
        let Some(cell) = at.checked_sub(1).and_then(|at| cells.get(at)) else {
            row.push(Cell::new(Style::Head, "WHY"));
            table.rows.push(row);
            continue;
        };
        let why = output::wrapped(&cell.why, room);
        for line in why.lines() {
            row.push(Cell::plain(line));
            table
                .rows
                .push(std::mem::replace(&mut row, vec![Cell::default(); 3]));
        }
    }
    table.text(screen)
}

fn below(cells: &[&PairStatus], screen: &Terminal) -> String {
    let mut text = String::new();
    for cell in cells {
        let verdict = format!(": {}", word(cell.verdict));
        let room = screen.width.saturating_sub(verdict.len());
        let pair = format!("{} -> {}", label(&cell.from), label(&cell.to));
        let verdict = screen.paint(tone(cell.verdict), &verdict);
        let _ = writeln!(text, "{}{verdict}", output::cut(&pair, room));
        let _ = writeln!(
            text,
            "{}",
            output::hanging_indent("  ", &cell.why, screen.width)
        );
    }
    text
}
