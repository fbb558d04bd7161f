//! How large everything is, and what it says.

use super::{
    super::{
        letters::{Style, broken, chip_width, fitted, text_width},
        model::{Card, Look},
    },
    Boxed, CARD, LABEL, LINE, Line, PAD, Plan, Rect,
};

impl Plan<'_> {
    pub(super) fn size_boxes(&mut self) {
        let graph = self.graph;
        let widest = graph.networks.iter().map(card_width);
        let width = widest.fold(CARD.0, f64::max).min(CARD.1);
        let boxed = |w: f64, lines: Vec<Line>| Boxed {
            rect: Rect {
                w,
                h: lines.len() as f64 * LINE + 2.0 * PAD - 4.0,
                ..Rect::default()
            },
            lines,
        };
        let cards = graph
            .networks
            .iter()
            .map(|card| boxed(width, card_lines(card, width)));
        self.layout.cards = cards.collect();
        let outside = graph.outside.iter().map(|outside| {
            let lines: Vec<_> = outside
                .names
                .iter()
                .map(|name| line(name, Style::Text))
                .collect();
            let widest = lines.iter().map(|line| text_width(&line.text, line.style));
            boxed(widest.fold(90.0, f64::max) + 2.0 * PAD, lines)
        });
        self.layout.outside = outside.collect();
        let labels = graph.links.iter().map(|link| {
            let lines = broken(&link.label, LABEL);
            let lines: Vec<_> = lines.iter().map(|text| line(text, Style::Text)).collect();
            let widest = lines.iter().map(|line| text_width(&line.text, line.style));
            let mut label = boxed(widest.fold(0.0, f64::max) + 2.0 * PAD, lines);
            label.rect.h -= 10.0;
            label
        });
        self.layout.labels = labels.collect();
    }
}

fn line(text: &str, style: Style) -> Line {
    let text = text.to_owned();
    Line { text, style }
}

fn card_width(card: &Card) -> f64 {
    let name = text_width(&card.name, Style::Name) + chip_width(&card.state) + 10.0;
    let others = [&card.kind]
        .into_iter()
        .chain(&card.subnets)
        .chain(&card.notes);
    let others = others.chain(&card.guests);
    let widths = others.map(|text| text_width(text, Style::Text) + 14.0);
    widths.fold(name, f64::max) + 2.0 * PAD
}

fn card_lines(card: &Card, width: f64) -> Vec<Line> {
    let room = width - 2.0 * PAD;
    let quiet = Style::Quiet;
    let mut lines = vec![
        line(
            &fitted(
                &card.name,
                room - chip_width(&card.state) - 6.0,
                Style::Name,
            ),
            Style::Name,
        ),
        line(&fitted(&card.kind, room, quiet), quiet),
    ];
    let text = if card.look == Look::Inactive {
        quiet
    } else {
        Style::Text
    };
    lines.extend(card.subnets.iter().map(|one| line(one, text)));
    lines.extend(card.notes.iter().map(|one| line(one, quiet)));
    let fault = card.fault.iter().flat_map(|fault| broken(fault, room));
    lines.extend(fault.map(|one| line(&one, Style::Bad)));
    let guests = card.guests.iter().map(|guest| format!("• {guest}"));
    lines.extend(guests.map(|one| line(&fitted(&one, room, text), text)));
    lines
}
