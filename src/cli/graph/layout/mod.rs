//! Where everything is in the picture that we draw ourselves.
//!
//! From left to right: what is outside, links to it, networks in the boxes of their groups, links
//! among networks. A link is a label in its own column, with a curve to each of its ends; curves
//! run where no text is. A network that does not stand at its box's edge is reached by the
//! channel below its row.

mod boxes;
mod curves;
mod places;

use super::{
    letters::Style,
    model::{End, Graph, Kind},
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
    pub(super) is_dead: bool,
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
