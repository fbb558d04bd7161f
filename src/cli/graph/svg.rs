//! SVG images without scripts, style sheets or external resources. They have a background of
//! their own, which keeps them legible on a dark page.

use std::fmt::Write;

use super::{
    layout::{
        BAND, Cluster, LINE_HEIGHT, MARGIN, PADDING, Rect, TextBox, Wire, cluster_title, layout,
        text_width,
    },
    model::{Edge, EdgeKind, Graph, NodeStyle},
    text,
};

const INK: &str = "#1f2328";
const MUTED: &str = "#59636e";
pub(super) fn render(graph: &Graph) -> String {
    let layout = layout(graph);
    let (title, legend) = (escaped(&graph.title), text::legend(graph));
    // The title is a third larger than other text.
    let heading = (text_width(&graph.title) * 4 / 3).max(text_width(&legend));
    let width = layout.width.max(heading + 2 * MARGIN).max(360);
    let height = layout.height.max(130);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" xml:space=\"preserve\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, \
         monospace\" font-size=\"12\">\n<title>{title}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"34\" font-size=\"16\" font-weight=\"600\" fill=\"{INK}\">\
         {title}</text>\n"
    );
    for cluster in &layout.clusters {
        draw_cluster(&mut svg, graph, cluster);
    }
    for wire in &layout.wires {
        if let Some(edge) = graph.edges.get(wire.edge) {
            draw_wire(&mut svg, edge, wire);
        }
    }
    for (node, one) in graph.nodes.iter().zip(&layout.nodes) {
        let (style, ink) = node_colors(node.state.style());
        draw_box(
            &mut svg,
            one,
            &format!("{style} rx=\"7\""),
            &format!("{ink}\" font-weight=\"600"),
        );
    }
    for external in &layout.externals {
        draw_box(
            &mut svg,
            external,
            "fill=\"#f6f8fa\" stroke=\"#8c959f\" rx=\"14\"",
            INK,
        );
    }
    for (edge, label) in graph.edges.iter().zip(&layout.labels) {
        let style = format!("fill=\"#ffffff\" stroke=\"{}\" rx=\"9\"", color(edge));
        draw_box(&mut svg, label, &style, INK);
    }
    if graph.nodes.is_empty() {
        write_text(&mut svg, (MARGIN, BAND + 20), MUTED, text::NO_NETWORK);
    }
    write_text(&mut svg, (MARGIN, height - 18), MUTED, &legend);
    svg.push_str("</svg>\n");
    svg
}

fn draw_cluster(svg: &mut String, graph: &Graph, cluster: &Cluster) {
    let style = match cluster.group {
        Some(_) => "fill=\"#eef6ff\" stroke=\"#54a3ff\" rx=\"10\"",
        None => "fill=\"none\" stroke=\"#d1d9e0\" stroke-dasharray=\"2 4\" rx=\"10\"",
    };
    write_rect(svg, cluster.rect, style);
    let (x, y) = (cluster.rect.x + PADDING, cluster.rect.y + 20);
    let fill = format!("{MUTED}\" font-weight=\"600");
    write_text(svg, (x, y), &fill, &cluster_title(graph, cluster.group));
}

fn color(edge: &Edge) -> &'static str {
    match edge.kind {
        _ if edge.is_inactive => "#8c959f",
        EdgeKind::Peers { .. } => "#0969da",
        EdgeKind::Allow(_) => "#8250df",
        EdgeKind::Member => "#8c959f",
    }
}

fn draw_wire(svg: &mut String, edge: &Edge, wire: &Wire) {
    let (color, (x1, y1), (x2, y2), bend) = (color(edge), wire.start, wire.end, wire.bend);
    let middle = x1.midpoint(bend);
    let is_dashed = edge.is_inactive || edge.kind == EdgeKind::Member;
    let dashes = if is_dashed {
        " stroke-dasharray=\"4 3\""
    } else {
        ""
    };
    let _ = writeln!(
        svg,
        "<path d=\"M{x1} {y1}C{middle} {y1} {middle} {y2} {bend} {y2}H{x2}\" fill=\"none\" \
         stroke=\"{color}\" stroke-width=\"1.5\"{dashes}/>"
    );
    if wire.has_arrow {
        let base = if x2 > x1 { x2 - 8 } else { x2 + 8 };
        let (top, bottom) = (y2 - 4, y2 + 4);
        let _ = writeln!(
            svg,
            "<polygon points=\"{x2} {y2} {base} {top} {base} {bottom}\" fill=\"{color}\"/>"
        );
    }
}

/// The box of a network, and the colour of its name.
fn node_colors(style: NodeStyle) -> (&'static str, &'static str) {
    match style {
        NodeStyle::Open => ("fill=\"#ffffff\" stroke=\"#1a7f37\"", "#116329"),
        NodeStyle::Partial => ("fill=\"#fffdf0\" stroke=\"#9a6700\"", "#7d4e00"),
        NodeStyle::Closed => (
            "fill=\"#f6f8fa\" stroke=\"#59636e\" stroke-dasharray=\"4 3\"",
            "#424a53",
        ),
        NodeStyle::Faulty => (
            "fill=\"#ffebe9\" stroke=\"#cf222e\" stroke-width=\"1.5\"",
            "#a40e26",
        ),
        NodeStyle::Inactive => (
            "fill=\"#f6f8fa\" stroke=\"#c8d1da\" stroke-dasharray=\"2 3\"",
            MUTED,
        ),
    }
}

fn draw_box(svg: &mut String, one: &TextBox, style: &str, first_fill: &str) {
    write_rect(svg, one.rect, style);
    let Rect { x, y, h, .. } = one.rect;
    let top = y + (h - one.lines.len() * LINE_HEIGHT) / 2;
    for (row, line) in one.lines.iter().enumerate() {
        let fill = if row == 0 { first_fill } else { INK };
        write_text(svg, (x + PADDING, top + row * LINE_HEIGHT + 13), fill, line);
    }
}

fn write_rect(svg: &mut String, rect: Rect, style: &str) {
    let Rect { x, y, w, h } = rect;
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" {style}/>"
    );
}

/// `fill` is a colour; further attributes may follow it.
fn write_text(svg: &mut String, (x, y): (usize, usize), fill: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" fill=\"{fill}\">{text}</text>"
    );
}

/// XML 1.0 has no form, escaped or not, of most control characters.
fn escaped(text: &str) -> String {
    let is_excluded = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    let text = text.replace(is_excluded, "\u{fffd}");
    quick_xml::escape::escape(text).into_owned()
}
