//! Mermaid flowcharts.

use std::fmt::Write;

use super::{
    model::{Edge, EdgeEnd, EdgeKind, Graph, NodeStyle},
    text,
};

const CLASSES: &str = "  classDef open fill:#dafbe1,stroke:#1a7f37,color:#1f2328
  classDef partial fill:#fff8c5,stroke:#9a6700,color:#1f2328
  classDef closed fill:#f6f8fa,stroke:#59636e,color:#1f2328,stroke-dasharray:4 3
  classDef faulty fill:#ffebe9,stroke:#cf222e,color:#1f2328
  classDef inactive fill:#f6f8fa,stroke:#8c959f,color:#59636e,stroke-dasharray:2 2
  classDef external fill:#fff8e6,stroke:#d4a72c,color:#1f2328
  classDef allow fill:#fbefff,stroke:#8250df,color:#1f2328
";

pub(super) fn render(graph: &Graph) -> String {
    let mut out = String::from("flowchart LR\n");
    for (index, external) in graph.externals.iter().enumerate() {
        let label = label(&text::external(external));
        let _ = writeln!(out, "  o{index}([{label}]):::external");
    }
    for (index, group) in graph.groups.iter().enumerate() {
        let label = label(&[text::group(group)]);
        let _ = writeln!(out, "  subgraph g{index}[{label}]");
        write_nodes(&mut out, "    ", graph, Some(index));
        out.push_str("  end\n");
    }
    write_nodes(&mut out, "  ", graph, None);
    if graph.nodes.is_empty() {
        let _ = writeln!(out, "  none[{}]", label(&[text::NO_NETWORK.to_owned()]));
    }
    for (index, edge) in graph.edges.iter().enumerate() {
        write_edge(&mut out, index, edge);
    }
    out.push_str(CLASSES);
    out
}

fn write_nodes(out: &mut String, indent: &str, graph: &Graph, cluster: Option<usize>) {
    for (index, node) in graph.nodes_in(cluster) {
        let class = match node.state.style() {
            NodeStyle::Open => "open",
            NodeStyle::Partial => "partial",
            NodeStyle::Closed => "closed",
            NodeStyle::Faulty => "faulty",
            NodeStyle::Inactive => "inactive",
        };
        let label = label(&text::node(node));
        let _ = writeln!(out, "{indent}n{index}[{label}]:::{class}");
    }
}

/// A pair of ends is one arrow. More ends meet in a node that carries the label.
fn write_edge(out: &mut String, index: usize, edge: &Edge) {
    let label = label(&[text::edge(edge)]);
    let (line, arrow) = match edge.kind {
        EdgeKind::Peers { .. } if edge.is_inactive => ("-.-", "<-.->"),
        EdgeKind::Allow(_) if edge.is_inactive => ("-.-", "-.->"),
        EdgeKind::Peers { .. } => ("---", "<-->"),
        EdgeKind::Allow(_) => ("---", "-->"),
        EdgeKind::Member => ("-.-", "-.-"),
    };
    if let ([from], [to]) = (edge.from.as_slice(), edge.to.as_slice()) {
        let _ = writeln!(out, "  {} {arrow}|{label}| {}", id(*from), id(*to));
        return;
    }
    let _ = writeln!(out, "  r{index}([{label}]):::allow");
    for from in &edge.from {
        let _ = writeln!(out, "  {} {line} r{index}", id(*from));
    }
    for to in &edge.to {
        let _ = writeln!(out, "  r{index} {arrow} {}", id(*to));
    }
}

fn id(end: EdgeEnd) -> String {
    match end {
        EdgeEnd::Node(index) => format!("n{index}"),
        EdgeEnd::Group(index) => format!("g{index}"),
        EdgeEnd::External(index) => format!("o{index}"),
    }
}

/// A quoted label. Characters that Mermaid, HTML or Markdown could interpret become entity codes.
fn label(lines: &[String]) -> String {
    let mut out = String::from("\"");
    for (row, line) in lines.iter().enumerate() {
        if row > 0 {
            out.push_str("<br/>");
        }
        for (column, c) in line.chars().enumerate() {
            if is_literal(line, column, c) {
                out.push(c);
            } else {
                let _ = write!(out, "#{};", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

/// Whether Mermaid keeps `c`, at this column of `line`, as it is.
fn is_literal(line: &str, column: usize, c: char) -> bool {
    match c {
        // Mermaid searches for these keywords before a colon, and then cuts entity codes short.
        ':' => !line.contains("style") && !line.contains("classDef"),
        '0'..='9' => column > 0 || !is_numbered_item(line),
        '.' | '_' | '-' | ' ' | '/' | ',' | '(' | ')' => column > 0,
        c => c.is_alphanumeric() || c == '•',
    }
}

/// Whether Markdown takes the line for an item of a numbered list.
fn is_numbered_item(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < line.len() && (rest.starts_with(". ") || rest.starts_with(") "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_plain_text_to_mermaid() {
        let label = |line: &str| label(&[line.to_owned()]);
        assert_eq!(label("kube02 (open)"), "\"kube02 (open)\"");
        assert_eq!(label("1. a"), "\"#49;. a\"");
        assert_eq!(label("10.17.3.0/24"), "\"10.17.3.0/24\"");
        assert_eq!(
            label("--a <b> \"ü\" #1; `x`"),
            "\"#45;-a #60;b#62; #34;ü#34; #35;1#59; #96;x#96;\""
        );
        assert_eq!(label("style fd00::1"), "\"style fd00#58;#58;1\"");
    }
}
