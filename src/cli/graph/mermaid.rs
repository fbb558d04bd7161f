//! A flowchart of Mermaid's, as wikis draw it.

use std::fmt::Write;

use super::model::{End, Graph, Kind, Link, Look};

const CLASSES: &str = "  classDef open fill:#dafbe1,stroke:#1a7f37,color:#1f2328
  classDef partial fill:#fff8c5,stroke:#9a6700,color:#1f2328
  classDef closed fill:#f6f8fa,stroke:#59636e,color:#1f2328,stroke-dasharray:4 3
  classDef wrong fill:#ffebe9,stroke:#cf222e,color:#1f2328
  classDef inactive fill:#f6f8fa,stroke:#8c959f,color:#59636e,stroke-dasharray:2 2
  classDef outside fill:#fff8e6,stroke:#d4a72c,color:#1f2328
  classDef rule fill:#fbefff,stroke:#8250df,color:#1f2328
";

pub(super) fn text(graph: &Graph) -> String {
    let mut text = String::from("flowchart LR\n");
    for (at, outside) in graph.outside.iter().enumerate() {
        let label = label(&outside.names);
        let _ = writeln!(text, "  o{at}([{label}]):::outside");
    }
    for (at, group) in graph.groups.iter().enumerate() {
        let label = label(&[format!("group {}", group.name)]);
        let _ = writeln!(text, "  subgraph g{at}[{label}]");
        nodes(&mut text, "    ", graph, Some(at));
        text.push_str("  end\n");
    }
    nodes(&mut text, "  ", graph, None);
    if graph.networks.is_empty() {
        let _ = writeln!(
            text,
            "  none[{}]",
            label(&["no network is active".to_owned()])
        );
    }
    for (at, link) in graph.links.iter().enumerate() {
        edges(&mut text, at, link);
    }
    text.push_str(CLASSES);
    text
}

fn nodes(text: &mut String, indent: &str, graph: &Graph, home: Option<usize>) {
    let networks = graph.networks.iter().enumerate();
    for (at, card) in networks.filter(|(_, card)| card.home == home) {
        let class = match card.look {
            Look::Open => "open",
            Look::Partial => "partial",
            Look::Closed => "closed",
            Look::Wrong => "wrong",
            Look::Inactive => "inactive",
        };
        let _ = writeln!(text, "{indent}n{at}[{}]:::{class}", label(&card.lines()));
    }
}

/// One edge between two ends; else a node of its own that all lead to.
fn edges(text: &mut String, at: usize, link: &Link) {
    let label = label(std::slice::from_ref(&link.label));
    let (line, arrow) = match link.kind {
        Kind::Peers if link.is_dead => ("-.-", "<-.->"),
        Kind::Rule if link.is_dead => ("-.-", "-.->"),
        Kind::Peers => ("---", "<-->"),
        Kind::Rule => ("---", "-->"),
        Kind::Member => ("-.-", "-.-"),
    };
    if let ([from], [to]) = (link.from.as_slice(), link.to.as_slice()) {
        let _ = writeln!(text, "  {} {arrow}|{label}| {}", id(from), id(to));
        return;
    }
    let _ = writeln!(text, "  r{at}([{label}]):::rule");
    for from in &link.from {
        let _ = writeln!(text, "  {} {line} r{at}", id(from));
    }
    for to in &link.to {
        let _ = writeln!(text, "  r{at} {arrow} {}", id(to));
    }
}

fn id(end: &End) -> String {
    match end {
        End::Network(at) => format!("n{at}"),
        End::Group(at) => format!("g{at}"),
        End::Outside(at) => format!("o{at}"),
    }
}

/// In quotes; what could be syntax, HTML or Markdown goes as a code, which Mermaid takes for
/// any character.
fn label(lines: &[String]) -> String {
    let mut out = String::from("\"");
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            out.push_str("<br/>");
        }
        // Mermaid looks for these words in front of a colon, and would end our codes early.
        let is_word = line.contains("style") || line.contains("classDef");
        let is_list = is_list(line);
        for (at, c) in line.chars().enumerate() {
            let is_safe = match c {
                ':' => !is_word,
                '0'..='9' => !(is_list && at == 0),
                '.' | '_' | '-' | ' ' | '/' | ',' | '(' | ')' => at > 0,
                c => c.is_alphanumeric() || c == '•',
            };
            match is_safe {
                true => out.push(c),
                false => {
                    let _ = write!(out, "#{};", u32::from(c));
                }
            }
        }
    }
    out.push('"');
    out
}

/// Whether Markdown takes it for an item of a numbered list.
fn is_list(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < line.len() && (rest.starts_with(". ") || rest.starts_with(") "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_nothing_but_text() {
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
