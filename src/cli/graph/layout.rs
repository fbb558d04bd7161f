//! Positions of boxes and lines, in pixels. From left to right: external hosts, the labels of
//! edges, the boxes of groups with their networks.
//!
//! Lines bend only between two columns. Each end of an edge has a slot of its own on its box, and
//! a network with an edge is the first of its row, so no line crosses a box.

use std::collections::HashMap;

use unicode_width::UnicodeWidthStr;

use super::{
    model::{EdgeEnd, Graph},
    text,
};
use crate::output::{cut, wrapped};

pub(super) const MARGIN: usize = 24;
pub(super) const LINE_HEIGHT: usize = 17;
pub(super) const PADDING: usize = 12;
/// The height of the title, and of the legend.
pub(super) const BAND: usize = 50;
const GAP: usize = 14;
const GUTTER: usize = 64;
/// The distance between two lines that end at one box.
const SLOT: usize = 12;
const HEADER: usize = 30;
/// The longest line of a box and of a label, in characters.
const BOX_COLUMNS: usize = 44;
const LABEL_COLUMNS: usize = 26;

/// The width in a monospaced font of 12 pixels, whose glyphs are at most 7.5 wide.
pub(super) fn text_width(text: &str) -> usize {
    (text.width() * 15).div_ceil(2)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) w: usize,
    pub(super) h: usize,
}

impl Rect {
    pub(super) fn right(&self) -> usize {
        self.x + self.w
    }

    pub(super) fn bottom(&self) -> usize {
        self.y + self.h
    }

    fn center(&self) -> usize {
        self.y + self.h / 2
    }
}

/// A box with lines of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextBox {
    pub(super) rect: Rect,
    pub(super) lines: Vec<String>,
}

/// The box of a group, or of the networks without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) rect: Rect,
    pub(super) group: Option<usize>,
}

/// A line from the label of an edge to one of its ends: a curve to `bend`, then straight to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) edge: usize,
    pub(super) start: (usize, usize),
    pub(super) bend: usize,
    pub(super) end: (usize, usize),
    pub(super) has_arrow: bool,
}

/// The boxes of nodes, externals and labels are in the order of the graph's lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) clusters: Vec<Cluster>,
    pub(super) nodes: Vec<TextBox>,
    pub(super) externals: Vec<TextBox>,
    pub(super) labels: Vec<TextBox>,
    pub(super) wires: Vec<Wire>,
    /// The area on whose side the lines to an end stop: a box, or the title of a group.
    targets: HashMap<EdgeEnd, Rect>,
    /// The number of lines to an end.
    slots: HashMap<EdgeEnd, usize>,
}

pub(super) fn layout(graph: &Graph) -> Layout {
    let mut layout = Layout::default();
    for (end, _) in graph.edges.iter().flat_map(|edge| edge.ends()) {
        *layout.slots.entry(end).or_default() += 1;
    }
    layout.size_boxes(graph);
    let mut x = MARGIN;
    for external in &mut layout.externals {
        external.rect.x = x;
    }
    let external = layout.externals.first();
    x += external.map_or(0, |one| one.rect.w + GUTTER);
    for label in &mut layout.labels {
        label.rect.x = x;
    }
    x += layout.labels.first().map_or(0, |one| one.rect.w + GUTTER);
    layout.place_clusters(graph, x);
    layout.place_columns(graph);
    layout.add_wires(graph, x);
    let clusters = layout.clusters.iter().map(|cluster| cluster.rect);
    let rects: Vec<_> = clusters.chain(layout.boxes().map(|one| one.rect)).collect();
    for rect in rects {
        layout.width = layout.width.max(rect.right() + MARGIN);
        layout.height = layout.height.max(rect.bottom() + BAND);
    }
    layout
}

impl Layout {
    pub(super) fn boxes(&self) -> impl Iterator<Item = &TextBox> {
        self.nodes.iter().chain(&self.externals).chain(&self.labels)
    }

    fn slots(&self, end: EdgeEnd) -> usize {
        self.slots.get(&end).copied().unwrap_or(0)
    }

    fn size_boxes(&mut self, graph: &Graph) {
        let nodes = graph.nodes.iter().enumerate().map(|(index, node)| {
            let slots = self.slots(EdgeEnd::Node(index));
            text_box(&text::node(node), BOX_COLUMNS, slots)
        });
        let externals = graph.externals.iter().enumerate().map(|(index, external)| {
            let slots = self.slots(EdgeEnd::External(index));
            text_box(&text::external(external), BOX_COLUMNS, slots)
        });
        let edges = graph.edges.iter().map(text::edge);
        let labels = edges.map(|label| text_box(&[label], LABEL_COLUMNS, 0));
        (self.nodes, self.externals, self.labels) =
            (aligned(nodes), aligned(externals), aligned(labels));
    }

    /// Stacks the groups, and in each of them rows of networks. The image is about as wide as high.
    fn place_clusters(&mut self, graph: &Graph, left: usize) {
        let columns = graph.nodes.len().div_ceil(2).isqrt().max(1);
        let mut top = BAND;
        for group in (0..graph.groups.len()).map(Some).chain([None]) {
            let end = group.map(EdgeEnd::Group);
            let h = HEADER.max(SLOT * (end.map_or(0, |end| self.slots(end)) + 1));
            let w = text_width(&cluster_title(graph, group)) + 2 * PADDING;
            let (x, y) = (left, top);
            let mut rect = Rect { x, y, w, h };
            if let Some(end) = end {
                self.targets.insert(end, rect);
            }
            let (mut x, mut y, mut in_row) = (left + PADDING, rect.bottom(), 0);
            for (index, _) in graph.nodes_in(group) {
                let is_first = self.slots(EdgeEnd::Node(index)) > 0;
                if in_row == columns || (in_row > 0 && is_first) {
                    (x, y, in_row) = (left + PADDING, rect.bottom(), 0);
                }
                if let Some(node) = self.nodes.get_mut(index) {
                    (node.rect.x, node.rect.y) = (x, y);
                    self.targets.insert(EdgeEnd::Node(index), node.rect);
                    rect.w = rect.w.max(node.rect.right() + PADDING - left);
                    rect.h = rect.h.max(node.rect.bottom() + GAP - top);
                    (x, in_row) = (node.rect.right() + GAP, in_row + 1);
                }
            }
            // A group remains visible if the boxes of other groups contain all of its members.
            if group.is_some() || rect.h > h {
                self.clusters.push(Cluster { rect, group });
                top = rect.bottom() + GAP;
            }
        }
        let width = self.clusters.iter().map(|cluster| cluster.rect.w).max();
        for cluster in &mut self.clusters {
            cluster.rect.w = width.unwrap_or(0);
        }
    }

    /// Places each label beside its ends in the clusters, and each external beside its labels.
    fn place_columns(&mut self, graph: &Graph) {
        let mut heights = Vec::new();
        for edge in &graph.edges {
            let targets = edge.ends().filter_map(|(end, _)| self.targets.get(&end));
            heights.push(mean(targets.map(Rect::center).collect()));
        }
        stack(&mut self.labels, heights);
        let mut labels = vec![Vec::new(); graph.externals.len()];
        for (edge, label) in graph.edges.iter().zip(&self.labels) {
            for (end, _) in edge.ends() {
                if let EdgeEnd::External(index) = end
                    && let Some(heights) = labels.get_mut(index)
                {
                    heights.push(label.rect.center());
                }
            }
        }
        stack(&mut self.externals, labels.into_iter().map(mean).collect());
        for (index, external) in self.externals.iter().enumerate() {
            let end = EdgeEnd::External(index);
            self.targets.insert(end, external.rect);
        }
    }

    fn add_wires(&mut self, graph: &Graph, clusters_x: usize) {
        let mut taken: HashMap<EdgeEnd, usize> = HashMap::new();
        for (index, (edge, label)) in graph.edges.iter().zip(&self.labels).enumerate() {
            for (end, has_arrow) in edge.ends() {
                let Some(target) = self.targets.get(&end) else {
                    continue;
                };
                let slot = taken.entry(end).or_default();
                *slot += 1;
                let y = target.y + target.h * *slot / (self.slots(end) + 1);
                let (start, bend, x) = match end {
                    EdgeEnd::External(_) => (label.rect.x, target.right(), target.right()),
                    _ => (label.rect.right(), clusters_x, target.x),
                };
                self.wires.push(Wire {
                    edge: index,
                    start: (start, label.rect.center()),
                    bend,
                    end: (x, y),
                    has_arrow,
                });
            }
        }
    }
}

pub(super) fn cluster_title(graph: &Graph, group: Option<usize>) -> String {
    match group.and_then(|group| graph.groups.get(group)) {
        Some(name) => text::group(name),
        None => text::NO_GROUP.to_owned(),
    }
}

/// A box of its text's size, with room for `slots` lines that end at its side.
fn text_box(text: &[String], columns: usize, slots: usize) -> TextBox {
    let mut lines = Vec::new();
    for line in text {
        // Wrapping would merge the blanks of a name.
        if line.width() <= columns {
            lines.push(line.clone());
        } else {
            let wrapped = wrapped(line, columns);
            lines.extend(wrapped.lines().map(|line| cut(line, columns)));
        }
    }
    let widths = lines.iter().map(|line| text_width(line));
    let w = widths.max().unwrap_or(0) + 2 * PADDING;
    let h = (LINE_HEIGHT * lines.len() + PADDING).max(SLOT * (slots + 1));
    let rect = Rect { x: 0, y: 0, w, h };
    TextBox { rect, lines }
}

/// The boxes of a column, all as wide as the widest.
fn aligned(boxes: impl Iterator<Item = TextBox>) -> Vec<TextBox> {
    let mut boxes: Vec<_> = boxes.collect();
    let width = boxes.iter().map(|one| one.rect.w).max().unwrap_or(0);
    for one in &mut boxes {
        one.rect.w = width;
    }
    boxes
}

fn mean(heights: Vec<usize>) -> usize {
    heights.iter().sum::<usize>() / heights.len().max(1)
}

/// Stacks boxes, each as near to its height as the boxes above allow.
fn stack(boxes: &mut [TextBox], heights: Vec<usize>) {
    let mut boxes: Vec<_> = heights.into_iter().zip(boxes).collect();
    boxes.sort_by_key(|(height, _)| *height);
    let mut free = BAND;
    for (height, one) in boxes {
        one.rect.y = height.saturating_sub(one.rect.h / 2).max(free);
        free = one.rect.bottom() + GAP;
    }
}
