//! Where everything is in the picture that we draw ourselves.
//!
//! From left to right: what is outside, links to it, networks in the boxes of their groups, links
//! among networks. A link is a label in its own column, with a curve to each of its ends; curves
//! run where no text is. A network that does not stand at its box's edge is reached by the
//! channel below its row.

use super::{
    letters::{Style, broken, chip_width, fitted, text_width},
    model::{Card, End, Graph, Kind, Look},
};

pub(super) const MARGIN: f64 = 24.0;
pub(super) const LINE: f64 = 17.0;
const HEAD: f64 = 46.0;
const FOOT: f64 = 44.0;
const PAD: f64 = 12.0;
/// Between columns: room for curves.
const GUTTER: f64 = 74.0;
const CARD: (f64, f64) = (196.0, 300.0);
const LABEL: f64 = 215.0;
const GAP: f64 = 14.0;
/// Between two curves that end at one box.
const SLOT: f64 = 12.0;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) w: f64,
    pub(super) h: f64,
}

impl Rect {
    pub(super) fn right(&self) -> f64 {
        self.x + self.w
    }

    pub(super) fn bottom(&self) -> f64 {
        self.y + self.h
    }

    fn middle(&self) -> f64 {
        self.y + self.h / 2.0
    }
}

/// Text in a place, in lines.
#[derive(Debug, Default)]
pub(super) struct Boxed {
    pub(super) rect: Rect,
    pub(super) lines: Vec<Line>,
}

#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

/// A box of networks.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) rect: Rect,
    /// The group; nothing for the networks in none.
    pub(super) group: Option<usize>,
}

/// From a label to one of its ends, or from there to the label.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) kind: Kind,
    pub(super) start: (f64, f64),
    pub(super) end: (f64, f64),
    /// The end is below a network, by this channel.
    pub(super) up_to: Option<(f64, f64)>,
    /// An arrow at the far end, which is that of the network or what is outside.
    pub(super) is_arrow: bool,
}

#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// As the graph has them.
    pub(super) cards: Vec<Boxed>,
    pub(super) outside: Vec<Boxed>,
    pub(super) labels: Vec<Boxed>,
    pub(super) frames: Vec<Frame>,
    pub(super) curves: Vec<Curve>,
}

/// Which side of the networks a link is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// Where a network stands.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    frame: usize,
    row: usize,
    is_first: bool,
    is_last: bool,
}

struct Plan<'a> {
    graph: &'a Graph,
    sides: Vec<Side>,
    cells: Vec<Cell>,
    /// Networks by row, by frame.
    rows: Vec<Vec<Vec<usize>>>,
    layout: Layout,
}

pub(super) fn layout(graph: &Graph) -> Layout {
    let mut plan = Plan::new(graph);
    plan.size_boxes();
    plan.place_networks();
    plan.place_labels();
    plan.place_outside();
    plan.draw_curves();
    plan.layout
}

impl<'a> Plan<'a> {
    fn new(graph: &'a Graph) -> Self {
        let is_outside = |end: &End| matches!(end, End::Outside(_));
        let sides =
            graph.links.iter().map(
                |link| match link.from.iter().chain(&link.to).any(is_outside) {
                    true => Side::Left,
                    false => Side::Right,
                },
            );
        let mut plan = Self {
            graph,
            sides: sides.collect(),
            cells: vec![Cell::default(); graph.networks.len()],
            rows: Vec::new(),
            layout: Layout::default(),
        };
        plan.arrange();
        plan
    }

    /// Networks into frames, and rows of them.
    fn arrange(&mut self) {
        let graph = self.graph;
        let homes = (0..graph.groups.len()).map(Some).chain([None]);
        for home in homes {
            let networks = graph.networks.iter().enumerate();
            let members: Vec<_> = networks
                .filter(|(_, card)| card.home == home)
                .map(|(at, _)| at)
                .collect();
            // A group whose members are all drawn in others is shown all the same.
            if members.is_empty() && home.is_none() {
                continue;
            }
            let most = columns(graph.networks.len());
            let rows = members.len().div_ceil(most).max(1);
            let per_row = members.len().div_ceil(rows).max(1);
            let rows: Vec<Vec<usize>> = members.chunks(per_row).map(<[usize]>::to_vec).collect();
            let frame = self.rows.len();
            for (row, of_row) in rows.iter().enumerate() {
                for (column, at) in of_row.iter().enumerate() {
                    if let Some(cell) = self.cells.get_mut(*at) {
                        *cell = Cell {
                            frame,
                            row,
                            is_first: column == 0,
                            is_last: column + 1 == of_row.len(),
                        };
                    }
                }
            }
            self.rows.push(rows);
            let rect = Rect::default();
            self.layout.frames.push(Frame { rect, group: home });
        }
    }

    fn size_boxes(&mut self) {
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

    fn place_networks(&mut self) {
        let outside = self
            .layout
            .outside
            .iter()
            .map(|one| one.rect.w)
            .fold(0.0, f64::max);
        let labels = self.widest_label(Side::Left);
        let left = match (outside > 0.0, labels > 0.0) {
            (_, false) => MARGIN,
            (_, true) => MARGIN + outside + GUTTER + labels + GUTTER,
        };
        let mut y = HEAD + MARGIN / 2.0;
        let mut right = left;
        for frame in 0..self.layout.frames.len() {
            let rect = self.place_frame(frame, left, y);
            y = rect.bottom() + 18.0;
            right = right.max(rect.right());
            if let Some(frame) = self.layout.frames.get_mut(frame) {
                frame.rect = rect;
            }
        }
        // Boxes of one width look tidy, and leave no curve a way through a shorter one's row.
        for frame in &mut self.layout.frames {
            frame.rect.w = right - frame.rect.x;
        }
        self.layout.width = right + MARGIN;
        self.layout.height = y - 18.0 + FOOT;
    }

    fn place_frame(&mut self, frame: usize, left: f64, top: f64) -> Rect {
        let rows = self.rows.get(frame).cloned().unwrap_or_default();
        let mut y = top + 30.0;
        let mut right = left + CARD.0 + 2.0 * PAD;
        for (at, row) in rows.iter().enumerate() {
            let mut x = left + PAD;
            let mut height: f64 = 0.0;
            for card in row.iter() {
                if let Some(card) = self.layout.cards.get_mut(*card) {
                    card.rect.x = x;
                    card.rect.y = y;
                    x += card.rect.w + GAP;
                    height = height.max(card.rect.h);
                }
            }
            right = right.max(x - GAP + PAD);
            y += height + GAP.max(self.channel_uses(frame, at) as f64 * SLOT + 10.0);
        }
        // Ends of links have to find room at its edge.
        let ends = self.ends_at_frame(frame) as f64;
        let h = (y - top).max(ends * SLOT + 40.0);
        Rect {
            x: left,
            y: top,
            w: right - left,
            h,
        }
    }

    fn widest_label(&self, side: Side) -> f64 {
        let labels = self.layout.labels.iter().zip(&self.sides);
        let widths = labels
            .filter(|(_, other)| **other == side)
            .map(|(label, _)| label.rect.w);
        widths.fold(0.0, f64::max)
    }

    /// How many links come by the channel below a row.
    fn channel_uses(&self, frame: usize, row: usize) -> usize {
        let links = self.graph.links.iter().zip(&self.sides);
        let ends = links.flat_map(|(link, side)| {
            let ends = link.from.iter().chain(&link.to);
            ends.map(move |end| (end, *side))
        });
        ends.filter(|(end, side)| match end {
            End::Network(at) => self.cells.get(*at).is_some_and(|cell| {
                cell.frame == frame && cell.row == row && !self.is_near(*at, *side)
            }),
            _ => false,
        })
        .count()
    }

    /// A network is at the right edge only where its row reaches it.
    fn is_near(&self, network: usize, side: Side) -> bool {
        let Some(cell) = self.cells.get(network) else {
            return true;
        };
        match side {
            Side::Left => cell.is_first,
            Side::Right => cell.is_last,
        }
    }

    fn frame_of_group(&self, group: usize) -> Option<usize> {
        let mut frames = self.layout.frames.iter();
        frames.position(|frame| frame.group == Some(group))
    }

    fn ends_at_frame(&self, frame: usize) -> usize {
        let of_side = |side: Side| {
            let links = self.graph.links.iter().zip(&self.sides);
            let links = links.filter(|(_, other)| **other == side);
            let ends = links.flat_map(|(link, _)| link.from.iter().chain(&link.to));
            ends.filter(|end| match end {
                End::Group(group) => self.frame_of_group(*group) == Some(frame),
                _ => false,
            })
            .count()
        };
        of_side(Side::Left).max(of_side(Side::Right))
    }

    /// The height at which an end is, roughly: labels want to be beside it.
    fn height_of(&self, end: &End) -> Option<f64> {
        match end {
            End::Network(at) => self.layout.cards.get(*at).map(|card| card.rect.middle()),
            End::Group(group) => {
                let frame = self.frame_of_group(*group)?;
                self.layout
                    .frames
                    .get(frame)
                    .map(|frame| frame.rect.middle())
            }
            End::Outside(_) => None,
        }
    }

    fn place_labels(&mut self) {
        for side in [Side::Left, Side::Right] {
            let width = self.widest_label(side);
            let right = self.layout.frames.iter().map(|frame| frame.rect.right());
            let right = right.fold(MARGIN, f64::max);
            let left = self
                .layout
                .frames
                .first()
                .map_or(MARGIN, |frame| frame.rect.x);
            let x = match side {
                Side::Left => left - GUTTER - width,
                Side::Right => right + GUTTER,
            };
            let mut wishes = Vec::new();
            for (at, link) in self.graph.links.iter().enumerate() {
                if self.sides.get(at) == Some(&side) {
                    let ends = link.from.iter().chain(&link.to);
                    let heights: Vec<_> = ends.filter_map(|end| self.height_of(end)).collect();
                    wishes.push((at, mean(&heights)));
                }
            }
            let labels = &mut self.layout.labels;
            stack(wishes, labels);
            for (label, of) in labels.iter_mut().zip(&self.sides) {
                if *of == side {
                    // All of one width: a curve to a narrow one would run below a wide one.
                    label.rect.x = x;
                    label.rect.w = width;
                    self.layout.height = self.layout.height.max(label.rect.bottom() + FOOT);
                }
            }
            if width > 0.0 && side == Side::Right {
                self.layout.width = x + width + MARGIN;
            }
        }
    }

    fn place_outside(&mut self) {
        let mut wishes = Vec::new();
        for at in 0..self.layout.outside.len() {
            let links = self.graph.links.iter().zip(&self.layout.labels);
            let is_its = |end: &End| *end == End::Outside(at);
            let links = links.filter(|(link, _)| link.from.iter().chain(&link.to).any(is_its));
            let heights: Vec<_> = links.map(|(_, label)| label.rect.middle()).collect();
            wishes.push((at, mean(&heights)));
        }
        stack(wishes, &mut self.layout.outside);
        let widest = self
            .layout
            .outside
            .iter()
            .map(|one| one.rect.w)
            .fold(0.0, f64::max);
        for one in &mut self.layout.outside {
            one.rect.x = MARGIN;
            one.rect.w = widest;
            self.layout.height = self.layout.height.max(one.rect.bottom() + FOOT);
        }
    }

    fn draw_curves(&mut self) {
        let mut slots = Slots::default();
        let mut wanted = Vec::new();
        for (at, link) in self.graph.links.iter().enumerate() {
            let both = link.kind == Kind::Peers;
            let from = link.from.iter().map(|end| (end, both));
            let to = link.to.iter().map(|end| (end, link.kind != Kind::Member));
            for (end, is_arrow) in from.chain(to) {
                wanted.push((at, link.kind, *end, is_arrow));
            }
        }
        // Ends at one box are in the order of the labels that they go to: fewer curves cross.
        let height = |at: &usize| {
            self.layout
                .labels
                .get(*at)
                .map_or(0.0, |one| one.rect.middle())
        };
        wanted.sort_by(|a, b| height(&a.0).total_cmp(&height(&b.0)));
        let total = |end: &End, side: Side| {
            let same = wanted
                .iter()
                .filter(|(at, _, other, _)| other == end && self.sides.get(*at) == Some(&side));
            same.count()
        };
        let mut curves = Vec::new();
        for (at, kind, end, is_arrow) in &wanted {
            let (Some(label), Some(side)) = (self.layout.labels.get(*at), self.sides.get(*at))
            else {
                continue;
            };
            let is_to_the_left = matches!(end, End::Outside(_));
            let start_x = match is_to_the_left || *side == Side::Right {
                true => label.rect.x,
                false => label.rect.right(),
            };
            let start = (start_x, label.rect.middle());
            if let Some((end, up_to)) = self.target(end, *side, total(end, *side), &mut slots) {
                curves.push(Curve {
                    kind: *kind,
                    start,
                    end,
                    up_to,
                    is_arrow: *is_arrow,
                });
            }
        }
        self.layout.curves = curves;
    }

    /// Where a curve ends, and below which network it goes on.
    fn target(&self, end: &End, side: Side, total: usize, slots: &mut Slots) -> Option<Target> {
        let spread =
            |rect: &Rect, used: usize| rect.y + rect.h * (used as f64 + 1.0) / (total as f64 + 1.0);
        let edge = |rect: &Rect| match side {
            Side::Left => rect.x,
            Side::Right => rect.right(),
        };
        match end {
            End::Outside(at) => {
                let rect = self.layout.outside.get(*at)?.rect;
                Some(((rect.right(), spread(&rect, slots.next(*end, side))), None))
            }
            End::Group(group) => {
                let rect = self.layout.frames.get(self.frame_of_group(*group)?)?.rect;
                Some(((edge(&rect), spread(&rect, slots.next(*end, side))), None))
            }
            End::Network(at) => {
                let rect = self.layout.cards.get(*at)?.rect;
                let used = slots.next(*end, side);
                if self.is_near(*at, side) {
                    return Some(((edge(&rect), spread(&rect, used)), None));
                }
                let cell = *self.cells.get(*at)?;
                let row = self.rows.get(cell.frame)?.get(cell.row)?;
                let bottoms = row.iter().filter_map(|at| self.layout.cards.get(*at));
                let bottom = bottoms.map(|card| card.rect.bottom()).fold(0.0, f64::max);
                let frame = self.layout.frames.get(cell.frame)?.rect;
                let y = bottom + 8.0 + slots.of_row(cell.frame, cell.row) as f64 * SLOT;
                // Those from the left and from the right meet in the middle of its edge.
                let x = match side {
                    Side::Left => rect.x + rect.w * 0.25 + used as f64 * SLOT,
                    Side::Right => rect.right() - rect.w * 0.25 - used as f64 * SLOT,
                };
                Some(((edge(&frame), y), Some((x, rect.bottom()))))
            }
        }
    }
}

type Target = ((f64, f64), Option<(f64, f64)>);

/// How many curves end where, so far.
#[derive(Default)]
struct Slots {
    ends: Vec<(End, Side)>,
    rows: Vec<(usize, usize)>,
}

impl Slots {
    fn next(&mut self, end: End, side: Side) -> usize {
        let used = self
            .ends
            .iter()
            .filter(|other| **other == (end, side))
            .count();
        self.ends.push((end, side));
        used
    }

    fn of_row(&mut self, frame: usize, row: usize) -> usize {
        let used = self
            .rows
            .iter()
            .filter(|other| **other == (frame, row))
            .count();
        self.rows.push((frame, row));
        used
    }
}

/// So that the picture is neither a tower nor a ribbon.
fn columns(networks: usize) -> usize {
    match networks {
        0..=4 => 1,
        5..=10 => 2,
        11..=18 => 3,
        19..=32 => 4,
        _ => 5,
    }
}

fn mean(heights: &[f64]) -> f64 {
    match heights.len() {
        0 => HEAD,
        many => heights.iter().sum::<f64>() / many as f64,
    }
}

/// Puts boxes below each other, each as near to its wish as those above let it.
fn stack(mut wishes: Vec<(usize, f64)>, boxes: &mut [Boxed]) {
    wishes.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut free = HEAD + MARGIN / 2.0;
    for (at, wish) in wishes {
        if let Some(one) = boxes.get_mut(at) {
            one.rect.y = (wish - one.rect.h / 2.0).max(free);
            free = one.rect.bottom() + GAP;
        }
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
