//! Why each pair is open or not.

use std::{fmt::Write, net::IpAddr};

use ipnet::IpNet;
use virt_forward_policy::{MatrixCell, sanitize::shown};

use super::{
    Status,
    grid::short,
    matrix::{tone, word},
};
use crate::{
    output::{self, Cell, Table},
    paint::{Screen, Tone},
};

/// A reason needs so much room beside the pair, else it goes below.
const ROOM: usize = 30;

impl Status {
    /// Of every pair; with one of `ends`, of those that it is in; with two, of those from the
    /// first to the second. What is nobody's name comes back.
    pub(crate) fn reasons(&self, ends: &[String], screen: &Screen) -> Result<String, String> {
        let meant: Vec<_> = ends
            .iter()
            .map(|wanted| self.meant(wanted).ok_or_else(|| wanted.clone()))
            .collect::<Result<_, _>>()?;
        let has = |names: &Vec<&str>, end: &String| names.contains(&end.as_str());
        let all = self.reach.iter().chain(&self.outside);
        let cells = all.filter(|MatrixCell { from, to, .. }| match meant.as_slice() {
            [] => true,
            [one] => has(one, from) || has(one, to),
            [one, other, ..] => has(one, from) && has(other, to),
        });
        Ok(for_people(&cells.collect::<Vec<_>>(), screen))
    }

    /// The ends that somebody means who says `wanted`: a network, a subnet, the Internet, or
    /// where an address is.
    fn meant(&self, wanted: &str) -> Option<Vec<&str>> {
        let mut networks = self.networks.iter();
        if let Some(network) = networks.find(|network| network.name == wanted) {
            return Some(vec![&network.name]);
        }
        let ends = self.outside.iter().flat_map(|cell| [&cell.from, &cell.to]);
        let mut nets: Vec<(IpNet, &str)> = ends
            .filter_map(|end| Some((end.parse().ok()?, end.as_str())))
            .collect();
        match (wanted.parse::<IpNet>(), wanted.parse::<IpAddr>()) {
            (Ok(wanted), _) => nets.retain(|(net, _)| *net == wanted),
            (_, Ok(address)) => {
                nets.retain(|(net, _)| net.contains(&address));
                // The world is where it is only if nothing narrower is named.
                let longest = nets.iter().map(|(net, _)| net.prefix_len()).max();
                nets.retain(|(net, _)| Some(net.prefix_len()) == longest);
            }
            _ => nets.retain(|(net, _)| wanted == "internet" && net.prefix_len() == 0),
        }
        let names: Vec<_> = nets.into_iter().map(|(_, name)| name).collect();
        (!names.is_empty()).then_some(names)
    }

    /// Whom [`Self::reasons`] knows, for a message.
    pub(crate) fn ends(&self) -> String {
        let mut ends: Vec<_> = self.networks.iter().map(|one| shown(&one.name)).collect();
        for end in self.outside.iter().flat_map(|cell| [&cell.from, &cell.to]) {
            let label = label(end);
            if !ends.contains(&label) {
                ends.push(label);
            }
        }
        ends.join(", ")
    }
}

fn for_people(cells: &[&MatrixCell], screen: &Screen) -> String {
    if cells.is_empty() {
        return "there is no such pair\n".to_owned();
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

fn beside(mut table: Table, cells: &[&MatrixCell], room: usize, screen: &Screen) -> String {
    let pairs = std::mem::take(&mut table.rows);
    for (at, mut row) in pairs.into_iter().enumerate() {
        let Some(cell) = at.checked_sub(1).and_then(|at| cells.get(at)) else {
            row.push(Cell::new(Tone::Head, "WHY"));
            table.rows.push(row);
            continue;
        };
        let why = output::wrapped(&shown(&cell.why), room);
        for line in why.lines() {
            row.push(Cell::plain(line));
            table
                .rows
                .push(std::mem::replace(&mut row, vec![Cell::default(); 3]));
        }
    }
    table.text(screen)
}

fn below(cells: &[&MatrixCell], screen: &Screen) -> String {
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
            output::hanging("  ", &shown(&cell.why), screen.width)
        );
    }
    text
}

fn label(end: &str) -> String {
    match end.parse::<IpNet>() {
        Ok(net) if net.prefix_len() == 0 && net.addr().is_ipv4() => "internet".to_owned(),
        Ok(net) if net.prefix_len() == 0 => "internet IPv6".to_owned(),
        Ok(net) => short(&net),
        Err(_) => shown(end),
    }
}
