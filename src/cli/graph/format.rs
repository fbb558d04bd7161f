//! The output formats.

use clap::ValueEnum;

use super::{dot, mermaid, model::Graph, svg};

/// The language of the diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// An SVG image for a browser or a wiki
    Svg,
    /// A Graphviz graph: dot -Tpng
    Dot,
    /// A Mermaid flowchart, for a ```mermaid block on GitHub or GitLab
    Mermaid,
}

impl GraphFormat {
    /// Renders `graph` in this format.
    pub(crate) fn render(self, graph: &Graph) -> String {
        match self {
            Self::Svg => svg::render(graph),
            Self::Dot => dot::render(graph),
            Self::Mermaid => mermaid::render(graph),
        }
    }
}
