//! For Graphviz.

use std::fmt::Write;

use super::model::{End, Graph, Kind, Link, Look};

pub(super) fn text(graph: &Graph) -> String {
    let mut text = String::from("digraph \"virt-forward\" {\n");
    let _ = writeln!(
        text,
        "  graph [label={}, labelloc=t, rankdir=LR, compound=true, bgcolor=white,",
        quoted(&graph.title)
    );
    text.push_str(
        "    fontname=\"Helvetica\", nodesep=0.25, ranksep=0.9];\n  \
         node [shape=box, style=\"rounded,filled\", fillcolor=white, color=\"#d1d9e0\",\n    \
         fontname=\"Helvetica\", fontsize=11];\n  edge [fontname=\"Helvetica\", fontsize=10];\n",
    );
    for (at, outside) in graph.outside.iter().enumerate() {
        let label = quoted(&outside.names.join("\n"));
        let _ = writeln!(
            text,
            "  o{at} [label={label}, shape=ellipse, fillcolor=\"#f6f8fa\"];"
        );
    }
    for (at, group) in graph.groups.iter().enumerate() {
        let label = quoted(&format!("group {}", group.name));
        let _ = writeln!(text, "  subgraph cluster_g{at} {{");
        let _ = writeln!(
            text,
            "    graph [label={label}, style=\"rounded,filled\", fillcolor=\"#eef6ff\", color=\"#54a3ff\"];"
        );
        // What leads to the group leads to this, and ends at the box.
        let _ = writeln!(
            text,
            "    g{at} [shape=point, style=invis, width=0, height=0];"
        );
        nodes(&mut text, "    ", graph, Some(at));
        text.push_str("  }\n");
    }
    nodes(&mut text, "  ", graph, None);
    if graph.networks.is_empty() {
        text.push_str("  none [label=\"no network is active\", shape=plaintext];\n");
    }
    for (at, link) in graph.links.iter().enumerate() {
        edges(&mut text, at, link);
    }
    text.push_str("}\n");
    text
}

fn nodes(text: &mut String, indent: &str, graph: &Graph, home: Option<usize>) {
    let networks = graph.networks.iter().enumerate();
    for (at, card) in networks.filter(|(_, card)| card.home == home) {
        let style = match card.look {
            Look::Open => "color=\"#1a7f37\"",
            Look::Partial => "color=\"#9a6700\"",
            Look::Closed => {
                "color=\"#59636e\", fillcolor=\"#f6f8fa\", style=\"rounded,filled,dashed\""
            }
            Look::Wrong => "color=\"#cf222e\", fillcolor=\"#ffebe9\"",
            Look::Inactive => {
                "color=\"#8c959f\", fontcolor=\"#59636e\", style=\"rounded,filled,dotted\""
            }
        };
        let _ = writeln!(
            text,
            "{indent}n{at} [label={}, {style}];",
            quoted(&card.lines().join("\n"))
        );
    }
}

/// One edge between two ends; else a node of its own that all lead to.
fn edges(text: &mut String, at: usize, link: &Link) {
    let label = quoted(&link.label);
    let style = match link.kind {
        Kind::Peers if link.is_dead => "dir=both, style=dashed, color=\"#8c959f\"",
        Kind::Rule if link.is_dead => "style=dashed, color=\"#8c959f\"",
        Kind::Peers => "dir=both, color=\"#0969da\"",
        Kind::Rule => "color=\"#8250df\"",
        Kind::Member => "dir=none, style=dashed, color=\"#8c959f\"",
    };
    if let ([from], [to]) = (link.from.as_slice(), link.to.as_slice()) {
        let clip = clips([("ltail", from), ("lhead", to)]);
        let _ = writeln!(
            text,
            "  {} -> {} [label={label}, {style}{clip}];",
            id(from),
            id(to)
        );
        return;
    }
    let _ = writeln!(
        text,
        "  r{at} [label={label}, color=\"#8250df\", fontsize=10, margin=\"0.08,0.04\"];"
    );
    for from in &link.from {
        let clip = clips([("ltail", from)]);
        let _ = writeln!(text, "  {} -> r{at} [dir=none, {style}{clip}];", id(from));
    }
    for to in &link.to {
        let clip = clips([("lhead", to)]);
        let _ = writeln!(text, "  r{at} -> {} [{style}{clip}];", id(to));
    }
}

fn id(end: &End) -> String {
    match end {
        End::Network(at) => format!("n{at}"),
        End::Group(at) => format!("g{at}"),
        End::Outside(at) => format!("o{at}"),
    }
}

fn clips<const N: usize>(ends: [(&str, &End); N]) -> String {
    let ends = ends.into_iter().filter_map(|(word, end)| match end {
        End::Group(at) => Some(format!(", {word}=cluster_g{at}")),
        End::Network(_) | End::Outside(_) => None,
    });
    ends.collect()
}

/// A backslash begins an escape in a label, and an ampersand may begin an entity.
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
    fn what_is_quoted_stays_what_it_is() {
        assert_eq!(quoted("a\"b\\N&lt;\nü<"), "\"a\\\"b\\\\N&amp;lt;\\nü<\"");
    }
}
