//! From each label to its ends.

use super::{
    super::model::{End, Kind},
    Curve, Plan, Rect, SLOT, Side,
};

impl Plan<'_> {
    pub(super) fn draw_curves(&mut self) {
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
        // Groups last: they have room at their edge for what must not meet those to networks.
        let is_group = |end: &End| matches!(end, End::Group(_));
        let networks = wanted.iter().filter(|(_, _, end, _)| !is_group(end));
        let groups = wanted.iter().filter(|(_, _, end, _)| is_group(end));
        for (at, kind, end, is_arrow) in networks.chain(groups) {
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
                    is_dead: self.graph.links.get(*at).is_some_and(|link| link.is_dead),
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
                let wish = spread(&rect, slots.next(*end, side));
                Some(((edge(&rect), slots.free(side, wish)), None))
            }
            End::Network(at) => {
                let rect = self.layout.cards.get(*at)?.rect;
                let used = slots.next(*end, side);
                if self.is_near(*at, side) {
                    let y = spread(&rect, used);
                    slots.heights.push((side, y));
                    return Some(((edge(&rect), y), None));
                }
                let cell = *self.cells.get(*at)?;
                let row = self.rows.get(cell.frame)?.get(cell.row)?;
                let bottoms = row.iter().filter_map(|at| self.layout.cards.get(*at));
                let bottom = bottoms.map(|card| card.rect.bottom()).fold(0.0, f64::max);
                let frame = self.layout.frames.get(cell.frame)?.rect;
                let y = bottom + 8.0 + slots.of_row(cell.frame, cell.row) as f64 * SLOT;
                slots.heights.push((side, y));
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
    /// Where they cross the edge of a group's box.
    heights: Vec<(Side, f64)>,
}

impl Slots {
    /// That height, or the next below it where no other curve crosses.
    fn free(&mut self, side: Side, wish: f64) -> f64 {
        let mut height = wish;
        let is_taken = |height: f64, other: &(Side, f64)| {
            other.0 == side && (other.1 - height).abs() < SLOT * 0.9
        };
        while self.heights.iter().any(|other| is_taken(height, other)) {
            height += SLOT;
        }
        self.heights.push((side, height));
        height
    }

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
