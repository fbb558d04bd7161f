//! How much room text takes, without its font.

/// The size that all is drawn in.
pub(super) const FONT: f64 = 12.5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Name,
    Text,
    Quiet,
    Bad,
}

pub(super) fn chip_width(state: &str) -> f64 {
    text_width(state, Style::Quiet) + 12.0
}

/// At most as wide as a browser draws it, whatever its font: the widths are those of DejaVu
/// Sans, which is wider than Helvetica, Arial and Segoe.
pub(super) fn text_width(text: &str, style: Style) -> f64 {
    let of = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '\'' | '|' => 0.30,
        ' ' | '.' | ',' | ':' | ';' | '/' | '(' | ')' | '[' | ']' | '-' | 'f' | 't' | 'r' | '!' => {
            0.42
        }
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '—' | '…' => 1.0,
        'A'..='Z' | '#' | '&' | '+' | '<' | '>' | '=' | '~' => 0.84,
        c => match unicode_width::UnicodeWidthChar::width(c) {
            Some(2) => 1.06,
            Some(0) => 0.0,
            _ => 0.64,
        },
    };
    let bold = if style == Style::Name { 1.16 } else { 1.0 };
    text.chars().map(of).sum::<f64>() * FONT * bold
}

/// So much of it as has room.
pub(super) fn fitted(text: &str, room: f64, style: Style) -> String {
    if text_width(text, style) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if text_width(&out, style) + FONT > room {
            out.pop();
            break;
        }
    }
    out.push('…');
    out
}

/// Lines of at most that width, broken at blanks; a word without room is cut.
pub(super) fn broken(text: &str, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let word = fitted(word, room, Style::Text);
        match lines.last_mut() {
            Some(last) if text_width(&format!("{last} {word}"), Style::Text) <= room => {
                last.push(' ');
                last.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_room_is_cut_or_broken() {
        let room = text_width("allow 1: tcp", Style::Text);
        assert_eq!(broken("allow 1: tcp 443", room), ["allow 1: tcp", "443"]);
        let cut = fitted("a-very-long-name", 60.0, Style::Name);
        assert!(
            cut.ends_with('…') && text_width(&cut, Style::Name) <= 60.0,
            "{cut}"
        );
        assert_eq!(fitted("db", 60.0, Style::Name), "db");
        assert!(text_width("網", Style::Text) > text_width("n", Style::Text) * 1.5);
    }
}
