//! The output formats.

use clap::ValueEnum;

use super::{Graph, dot, mermaid, svg};

/// The language of the diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// An SVG image for a browser or a wiki
    Svg,
    /// A Graphviz graph: dot -Tpng
    Dot,
    /// A Mermaid flowchart, for a ```mermaid block on GitHub or GitLab
    Mermaid,
}

impl Format {
    /// Renders `graph` in this format.
    pub(crate) fn render(self, graph: &Graph) -> String {
        match self {
            Self::Svg => svg::render(graph),
            Self::Dot => dot::render(graph),
            Self::Mermaid => mermaid::render(graph),
        }
    }
}
