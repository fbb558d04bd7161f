//! Graphviz.

use std::fmt::Write;

use super::{
    model::{Edge, EdgeEnd, EdgeKind, Graph, NodeStyle},
    text,
};

const HEAD: &str = "    fontname=\"Helvetica\", nodesep=0.25, ranksep=0.9];
  node [shape=box, style=\"rounded,filled\", fillcolor=white, color=\"#d1d9e0\",
    fontname=\"Helvetica\", fontsize=11];
  edge [fontname=\"Helvetica\", fontsize=10];
";

pub(super) fn render(graph: &Graph) -> String {
    let mut out = String::from("digraph \"virt-forward\" {\n");
    let _ = writeln!(
        out,
        "  graph [label={}, labelloc=t, rankdir=LR, compound=true, bgcolor=white,",
        quoted(&graph.title)
    );
    out.push_str(HEAD);
    for (index, external) in graph.externals.iter().enumerate() {
        let label = quoted(&text::external(external).join("\n"));
        let _ = writeln!(
            out,
            "  o{index} [label={label}, shape=ellipse, fillcolor=\"#f6f8fa\"];"
        );
    }
    for (index, group) in graph.groups.iter().enumerate() {
        let label = quoted(&text::group(group));
        // Graphviz has no edges to clusters: they lead to this point and are clipped at the box.
        let _ = write!(
            out,
            "  subgraph cluster_g{index} {{\n    \
             graph [label={label}, style=\"rounded,filled\", fillcolor=\"#eef6ff\", color=\"#54a3ff\"];\n    \
             g{index} [shape=point, style=invis, width=0, height=0];\n"
        );
        write_nodes(&mut out, "    ", graph, Some(index));
        out.push_str("  }\n");
    }
    write_nodes(&mut out, "  ", graph, None);
    if graph.nodes.is_empty() {
        let _ = writeln!(
            out,
            "  none [label={}, shape=plaintext];",
            quoted(text::NO_NETWORK)
        );
    }
    for (index, edge) in graph.edges.iter().enumerate() {
        write_edge(&mut out, index, edge);
    }
    out.push_str("}\n");
    out
}

fn write_nodes(out: &mut String, indent: &str, graph: &Graph, cluster: Option<usize>) {
    for (index, node) in graph.nodes_in(cluster) {
        let style = match node.state.style() {
            NodeStyle::Open => "color=\"#1a7f37\"",
            NodeStyle::Partial => "color=\"#9a6700\"",
            NodeStyle::Closed => {
                "color=\"#59636e\", fillcolor=\"#f6f8fa\", style=\"rounded,filled,dashed\""
            }
            NodeStyle::Faulty => "color=\"#cf222e\", fillcolor=\"#ffebe9\"",
            NodeStyle::Inactive => {
                "color=\"#8c959f\", fontcolor=\"#59636e\", style=\"rounded,filled,dotted\""
            }
        };
        let label = quoted(&text::node(node).join("\n"));
        let _ = writeln!(out, "{indent}n{index} [label={label}, {style}];");
    }
}

/// A pair of ends is one arrow. More ends meet in a node that carries the label.
fn write_edge(out: &mut String, index: usize, edge: &Edge) {
    let label = quoted(&text::edge(edge));
    let style = match edge.kind {
        EdgeKind::Peers { .. } if edge.is_inactive => "dir=both, style=dashed, color=\"#8c959f\"",
        EdgeKind::Allow(_) if edge.is_inactive => "style=dashed, color=\"#8c959f\"",
        EdgeKind::Peers { .. } => "dir=both, color=\"#0969da\"",
        EdgeKind::Allow(_) => "color=\"#8250df\"",
        EdgeKind::Member => "dir=none, style=dashed, color=\"#8c959f\"",
    };
    if let ([from], [to]) = (edge.from.as_slice(), edge.to.as_slice()) {
        let (tail, head) = (clip("ltail", *from), clip("lhead", *to));
        let (from, to) = (id(*from), id(*to));
        let _ = writeln!(
            out,
            "  {from} -> {to} [label={label}, {style}{tail}{head}];"
        );
        return;
    }
    let _ = writeln!(
        out,
        "  r{index} [label={label}, color=\"#8250df\", fontsize=10, margin=\"0.08,0.04\"];"
    );
    for from in &edge.from {
        let tail = clip("ltail", *from);
        let _ = writeln!(
            out,
            "  {} -> r{index} [dir=none, {style}{tail}];",
            id(*from)
        );
    }
    for to in &edge.to {
        let head = clip("lhead", *to);
        let _ = writeln!(out, "  r{index} -> {} [{style}{head}];", id(*to));
    }
}

fn id(end: EdgeEnd) -> String {
    match end {
        EdgeEnd::Node(index) => format!("n{index}"),
        EdgeEnd::Group(index) => format!("g{index}"),
        EdgeEnd::External(index) => format!("o{index}"),
    }
}

/// The attribute that ends an edge at the box of a group.
fn clip(attribute: &str, end: EdgeEnd) -> String {
    match end {
        EdgeEnd::Group(index) => format!(", {attribute}=cluster_g{index}"),
        EdgeEnd::Node(_) | EdgeEnd::External(_) => String::new(),
    }
}

/// A DOT string. A backslash starts an escape sequence in a label, and an ampersand an HTML entity.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '&' => out.push_str("&amp;"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_string_keeps_its_text() {
        assert_eq!(quoted("a\"b\\N&lt;\nü<"), "\"a\\\"b\\\\N&amp;lt;\\nü<\"");
    }
}
