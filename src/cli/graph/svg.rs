//! A picture that needs nothing else: no font, no script, no style of the page it is in. It has
//! a ground of its own, so that it is read on a dark page too.

use std::fmt::Write;

use super::{
    layout::{Boxed, Curve, Frame, LINE, Layout, MARGIN, Rect, layout},
    letters::{FONT, Style, chip_width, text_width},
    model::{Card, Graph, Kind, Look},
};

/// Ground and edge of groups, in turn.
const GROUPS: [(&str, &str); 6] = [
    ("#eef6ff", "#54a3ff"),
    ("#effcf3", "#4ac26b"),
    ("#fff9e8", "#d4a72c"),
    ("#faf2ff", "#c297ff"),
    ("#fff3ee", "#fb8f44"),
    ("#ecfbfb", "#33b3ae"),
];

pub(super) fn text(graph: &Graph) -> String {
    let layout = layout(graph);
    let legend = legend(graph);
    let title_width = text_width(&graph.title, Style::Name) * 1.3 + 2.0 * MARGIN;
    let legend_width = text_width(&legend, Style::Quiet) + 2.0 * MARGIN;
    let width = layout
        .width
        .max(title_width)
        .max(legend_width)
        .max(360.0)
        .ceil();
    let height = layout.height.max(130.0).ceil();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" xml:space=\"preserve\" \
         font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif\" \
         font-size=\"{FONT}\" fill=\"#1f2328\">\n<title>{}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"34\" font-size=\"16\" font-weight=\"600\">{}</text>\n",
        escaped(&graph.title),
        escaped(&graph.title),
    );
    for frame in &layout.frames {
        draw_frame(&mut svg, frame, graph);
    }
    for curve in &layout.curves {
        draw_curve(&mut svg, curve);
    }
    draw_boxes(&mut svg, graph, &layout);
    if graph.networks.is_empty() {
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"70\" fill=\"#59636e\">no network is active</text>"
        );
    }
    let y = height - 18.0;
    let _ = writeln!(
        svg,
        "<text x=\"{MARGIN}\" y=\"{y}\" fill=\"#59636e\">{}</text>",
        escaped(&legend)
    );
    svg.push_str("</svg>\n");
    svg
}

/// Of what there is in this picture.
fn legend(graph: &Graph) -> String {
    let has = |kind: Kind| graph.links.iter().any(|link| link.kind == kind);
    let mut words = Vec::new();
    if !graph.groups.is_empty() {
        words.push("networks in one box reach each other");
    }
    if has(Kind::Rule) {
        words.push("an arrow is one way, and for what it names alone");
    }
    words.join("; ")
}

fn draw_frame(svg: &mut String, frame: &Frame, graph: &Graph) {
    let Rect { x, y, w, h } = frame.rect;
    let group = frame.group.and_then(|at| Some((at, graph.groups.get(at)?)));
    let (label, ground, edge, more) = match group {
        Some((at, group)) => {
            let (ground, edge) = GROUPS.get(at % GROUPS.len()).copied().unwrap_or_default();
            (format!("group {}", group.name), ground, edge, "")
        }
        None => (
            "in no group".to_owned(),
            "none",
            "#d1d9e0",
            " stroke-dasharray=\"2 4\"",
        ),
    };
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"10\" fill=\"{ground}\" stroke=\"{edge}\"{more}/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" font-weight=\"600\" fill=\"#59636e\">{}</text>",
        x + 12.0,
        y + 20.0,
        escaped(&label)
    );
}

fn colour(kind: Kind, is_dead: bool) -> &'static str {
    match kind {
        _ if is_dead => "#8c959f",
        Kind::Peers => "#0969da",
        Kind::Rule => "#8250df",
        Kind::Member => "#8c959f",
    }
}

fn draw_curve(svg: &mut String, curve: &Curve) {
    let ((x1, y1), (x2, y2)) = (curve.start, curve.end);
    // As far apart as its ends are, so that short ones are not bent back.
    let middle = (x1 + x2) / 2.0;
    let mut path =
        format!("M{x1:.1} {y1:.1}C{middle:.1} {y1:.1} {middle:.1} {y2:.1} {x2:.1} {y2:.1}");
    if let Some((x, y)) = curve.up_to {
        let _ = write!(path, "H{x:.1}V{y:.1}");
    }
    let dashes = match curve.kind {
        _ if curve.is_dead => " stroke-dasharray=\"4 3\"",
        Kind::Member => " stroke-dasharray=\"4 3\"",
        Kind::Peers | Kind::Rule => "",
    };
    let colour = colour(curve.kind, curve.is_dead);
    let _ = writeln!(
        svg,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"{dashes}/>"
    );
    if curve.is_arrow {
        let (x, y) = curve.up_to.unwrap_or((x2, y2));
        let head = match curve.up_to {
            Some(_) => "-4 8 4 8",
            None if x2 < x1 => "8 -4 8 4",
            None => "-8 -4 -8 4",
        };
        let _ = writeln!(
            svg,
            "<polygon transform=\"translate({x:.1} {y:.1})\" points=\"0 0 {head}\" fill=\"{colour}\"/>"
        );
    }
}

fn draw_boxes(svg: &mut String, graph: &Graph, layout: &Layout) {
    for (card, boxed) in graph.networks.iter().zip(&layout.cards) {
        draw_card(svg, card, boxed);
    }
    for (outside, boxed) in graph.outside.iter().zip(&layout.outside) {
        let title = format!("outside: {}", outside.names.join(", "));
        draw_box(
            svg,
            &title,
            boxed,
            "fill=\"#f6f8fa\" stroke=\"#8c959f\"",
            14.0,
        );
    }
    for (link, boxed) in graph.links.iter().zip(&layout.labels) {
        let edge = format!(
            "fill=\"#ffffff\" stroke=\"{}\"",
            colour(link.kind, link.is_dead)
        );
        draw_box(svg, &link.label, boxed, &edge, 9.0);
    }
}

fn draw_card(svg: &mut String, card: &Card, boxed: &Boxed) {
    let (edge, chip, ink) = match card.look {
        Look::Open => ("fill=\"#ffffff\" stroke=\"#8c959f\"", "#dafbe1", "#116329"),
        Look::Partial => ("fill=\"#ffffff\" stroke=\"#8c959f\"", "#fff8c5", "#7d4e00"),
        Look::Closed => (
            "fill=\"#f6f8fa\" stroke=\"#8c959f\" stroke-dasharray=\"4 3\"",
            "#e1e6eb",
            "#424a53",
        ),
        Look::Wrong => (
            "fill=\"#ffffff\" stroke=\"#cf222e\" stroke-width=\"1.5\"",
            "#ffd8d3",
            "#a40e26",
        ),
        Look::Inactive => (
            "fill=\"#f6f8fa\" stroke=\"#c8d1da\" stroke-dasharray=\"2 3\"",
            "#eaeef2",
            "#59636e",
        ),
    };
    let mut title = vec![
        format!("{} is {}", card.name, card.state),
        card.kind.clone(),
    ];
    title.extend(
        card.subnets
            .iter()
            .chain(&card.notes)
            .chain(&card.fault)
            .cloned(),
    );
    title.extend(card.guests.iter().cloned());
    draw_box(svg, &title.join("\n"), boxed, edge, 7.0);
    let Rect { x, y, w, .. } = boxed.rect;
    let width = chip_width(&card.state);
    let left = x + w - width - 8.0;
    let _ = writeln!(
        svg,
        "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"18\" rx=\"9\" fill=\"{chip}\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{ink}\">{}</text>",
        y + 8.0,
        left + width / 2.0,
        y + 21.0,
        escaped(&card.state)
    );
}

fn draw_box(svg: &mut String, title: &str, boxed: &Boxed, edge: &str, radius: f64) {
    // Cards have their text on the left, below each other; the others have little of it.
    let is_card = boxed.lines.iter().any(|line| line.style == Style::Name);
    let Rect { x, y, w, h } = boxed.rect;
    let _ = writeln!(
        svg,
        "<g><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"{radius}\" {edge}/>",
        escaped(title)
    );
    let text = boxed.lines.len() as f64 * LINE;
    let mut baseline = y + (h - text) / 2.0 + LINE - 4.5;
    for line in &boxed.lines {
        let (left, anchor) = match is_card {
            true => (x + 12.0, ""),
            false => (x + w / 2.0, " text-anchor=\"middle\""),
        };
        let style = match line.style {
            Style::Name => " font-weight=\"600\"",
            Style::Text => "",
            Style::Quiet => " fill=\"#59636e\"",
            Style::Bad => " fill=\"#a40e26\"",
        };
        let _ = writeln!(
            svg,
            "<text x=\"{left:.1}\" y=\"{baseline:.1}\"{anchor}{style}>{}</text>",
            escaped(&line.text)
        );
        baseline += LINE;
    }
    svg.push_str("</g>\n");
}

/// XML has no character for some, not even escaped.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
