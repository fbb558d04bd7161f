//! What all formats have in common, and the layout.

use std::fs;

use clap::ValueEnum;
use proptest::prelude::*;

use super::{
    fixtures,
    format::GraphFormat,
    layout::{LINE_HEIGHT, Layout, Rect, layout, text_width},
    model::{EdgeKind, Graph},
    text,
};

// ---- Formats --------------------------------------------------------------------------------

#[test]
fn every_format_names_every_network_and_external_host() {
    for (name, graph) in fixtures::all() {
        let nodes = graph.nodes.iter().map(|node| node.name.clone());
        let externals = graph.externals.iter().flat_map(text::external);
        // Each format has its own escapes for other characters.
        let is_plain = |text: &String| text.chars().all(|c| c.is_alphanumeric() || c == '.');
        for part in nodes.chain(externals).filter(is_plain) {
            for format in GraphFormat::value_variants() {
                assert!(
                    format.render(&graph).contains(&part),
                    "{name}, {format:?}: {part}"
                );
            }
        }
    }
}

#[test]
fn every_format_has_each_rule_once() {
    for (name, graph) in fixtures::all() {
        let is_rule = |kind: &EdgeKind| matches!(kind, EdgeKind::Allow(_));
        let rules = graph
            .edges
            .iter()
            .filter(|edge| is_rule(&edge.kind))
            .count();
        for format in GraphFormat::value_variants() {
            let rendered = format.render(&graph);
            for number in 1..=4 {
                let label = format!("allow {number}:");
                let expected = usize::from(number <= rules);
                assert_eq!(
                    rendered.matches(&label).count(),
                    expected,
                    "{name}: {rendered}"
                );
            }
        }
    }
}

#[test]
fn names_with_special_characters_remain_text() {
    let graphs = fixtures::all();
    let (_, odd) = graphs
        .iter()
        .find(|(name, _)| *name == "odd names")
        .unwrap();
    let svg = GraphFormat::Svg.render(odd);
    let mut reader = quick_xml::Reader::from_str(&svg);
    while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
    assert!(
        svg.contains(">a&quot;b&lt;c&gt;&amp;d (open)</text>"),
        "{svg}"
    );
    assert!(svg.contains(">größe-網絡 (open)</text>"), "{svg}");
    let dot = GraphFormat::Dot.render(odd);
    assert!(dot.contains("[label=\"a\\\"b<c>&amp;d (open)\\n"), "{dot}");
    let mermaid = GraphFormat::Mermaid.render(odd);
    assert!(
        mermaid.contains("[\"a#34;b#60;c#62;#38;d (open)<br/>"),
        "{mermaid}"
    );
    assert!(mermaid.contains("[\"#45;- x (open)"), "{mermaid}");
}

#[test]
fn edges_do_not_grow_with_the_square_of_the_networks() {
    let graphs = fixtures::all();
    let edges = |wanted: &str| {
        let (_, graph) = graphs.iter().find(|(name, _)| *name == wanted).unwrap();
        GraphFormat::Dot.render(graph).matches(" -> ").count()
    };
    assert_eq!(edges("forty networks"), 0);
    assert_eq!(edges("reference"), 3);
    // Two peers, one network in two groups, four rules: group "app" as a whole is one end.
    assert_eq!(edges("three groups"), 2 + 1 + 4);
}

/// The snapshot of the SVG image is docs/graph.svg.
#[test]
fn the_reference_graph_has_its_snapshots() {
    let graph = fixtures::reference();
    insta::assert_snapshot!("reference.dot", GraphFormat::Dot.render(&graph));
    insta::assert_snapshot!("reference.mermaid", GraphFormat::Mermaid.render(&graph));
}

/// Set UPDATE_DOCS=1 to write the file.
#[test]
fn the_picture_of_the_documentation_is_current() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/graph.svg");
    let svg = GraphFormat::Svg.render(&fixtures::reference());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, &svg).unwrap();
    }
    let committed = fs::read_to_string(file).unwrap();
    assert!(
        committed == svg,
        "docs/graph.svg differs: run this test with UPDATE_DOCS=1"
    );
}

// ---- Layout ---------------------------------------------------------------------------------

fn overlap(one: &Rect, other: &Rect) -> bool {
    let is_beside = one.right() <= other.x || other.right() <= one.x;
    let is_below = one.bottom() <= other.y || other.bottom() <= one.y;
    !is_beside && !is_below
}

fn contains(outer: &Rect, inner: &Rect) -> bool {
    outer.x <= inner.x
        && outer.y <= inner.y
        && inner.right() <= outer.right()
        && inner.bottom() <= outer.bottom()
}

fn assert_legible(graph: &Graph, layout: &Layout) {
    let rects: Vec<_> = layout.boxes().map(|one| one.rect).collect();
    let image = Rect {
        x: 0,
        y: 0,
        w: layout.width,
        h: layout.height,
    };
    for (index, rect) in rects.iter().enumerate() {
        assert!(contains(&image, rect), "{rect:?} is outside the image");
        for other in &rects[index + 1..] {
            assert!(!overlap(rect, other), "{rect:?} and {other:?} overlap");
        }
    }
    for (node, one) in graph.nodes.iter().zip(&layout.nodes) {
        let cluster = layout.clusters.iter().find(|one| one.group == node.cluster);
        assert!(contains(&cluster.unwrap().rect, &one.rect));
    }
    for cluster in &layout.clusters {
        let overlapping = layout
            .clusters
            .iter()
            .filter(|other| overlap(&cluster.rect, &other.rect));
        assert_eq!(overlapping.count(), 1, "a cluster overlaps itself alone");
    }
    for one in layout.boxes() {
        let height = one.lines.len() * LINE_HEIGHT;
        assert!(height <= one.rect.h, "{one:?}");
        for line in &one.lines {
            assert!(text_width(line) <= one.rect.w, "{one:?}");
        }
    }
}

/// Every end has a line, no two lines end within four pixels, and none runs through a box.
fn assert_distinct_lines(graph: &Graph, layout: &Layout) {
    let ends: usize = graph.edges.iter().map(|edge| edge.ends().count()).sum();
    assert_eq!(layout.wires.len(), ends);
    for (index, wire) in layout.wires.iter().enumerate() {
        for other in &layout.wires[index + 1..] {
            let is_near = wire.end.0 == other.end.0 && wire.end.1.abs_diff(other.end.1) < 4;
            assert!(!is_near, "{wire:?} {other:?}");
        }
        let (from, to) = (wire.bend.min(wire.end.0), wire.bend.max(wire.end.0));
        let straight = Rect {
            x: from,
            y: wire.end.1,
            w: to - from,
            h: 1,
        };
        for one in &layout.nodes {
            assert!(!overlap(&straight, &one.rect), "{wire:?} {one:?}");
        }
    }
}

#[test]
fn the_named_graphs_are_legible() {
    for (_, graph) in fixtures::all() {
        let layout = layout(&graph);
        assert_legible(&graph, &layout);
        assert_distinct_lines(&graph, &layout);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_graph_is_legible_and_deterministic(graph in fixtures::any_graph()) {
        let first = layout(&graph);
        assert_legible(&graph, &first);
        assert_distinct_lines(&graph, &first);
        assert_eq!(first, layout(&graph));
        assert_eq!(GraphFormat::Svg.render(&graph), GraphFormat::Svg.render(&graph));
    }

    #[test]
    fn a_box_grows_with_its_content(
        graph in fixtures::any_graph(),
        index in any::<prop::sample::Index>(),
    ) {
        let node = index.index(graph.nodes.len());
        let before = layout(&graph);
        let mut grown = graph;
        let long = "fd00:1111:2222:3333:4444:5555:6666:7777/128";
        grown.nodes[node].subnets.extend([long.to_owned(), long.to_owned()]);
        let after = layout(&grown);
        let (smaller, larger) = (before.nodes[node].rect, after.nodes[node].rect);
        assert!(larger.h >= smaller.h && larger.w >= smaller.w && larger.w >= text_width(long));
        assert!(after.height >= before.height && after.width >= before.width);
    }
}
