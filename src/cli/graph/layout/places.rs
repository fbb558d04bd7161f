//! Where everything goes.

use super::{
    super::model::End, Boxed, CARD, FOOT, GAP, GUTTER, HEAD, MARGIN, PAD, Plan, Rect, SLOT, Side,
};

impl Plan<'_> {
    pub(super) fn place_networks(&mut self) {
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

    pub(super) fn place_labels(&mut self) {
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

    pub(super) fn place_outside(&mut self) {
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
