//! Saying things to the person, or the program, at the other end.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::paint::{Screen, Tone};

/// Prints to stdout. That nobody reads on (`| head`) is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => Err(why.into()),
        _ => Ok(()),
    }
}

/// Says on stderr what went wrong, or what somebody should know.
pub(crate) fn complain(text: &str) {
    // Without a stderr there is nobody to tell.
    let _ = writeln!(io::stderr(), "virt-forward: {text}");
}

/// The columns that a line takes.
#[cfg(test)]
pub(crate) fn cells(line: &str) -> usize {
    line.width()
}

/// A piece of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Cell {
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, tone }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// Columns of text, as wide as they need, with `gap` blanks between them.
pub(crate) struct Table {
    pub(crate) rows: Vec<Vec<Cell>>,
    pub(crate) gap: usize,
}

impl Table {
    pub(crate) fn new(gap: usize) -> Self {
        let rows = Vec::new();
        Self { rows, gap }
    }

    /// A row of heads.
    pub(crate) fn head<'a>(&mut self, heads: impl IntoIterator<Item = &'a str>) {
        let heads = heads.into_iter().map(|head| Cell::new(Tone::Head, head));
        self.rows.push(heads.collect());
    }

    /// What the widest line takes.
    pub(crate) fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + self.gap * widths.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            for (at, cell) in row.iter().enumerate() {
                let width = cell.text.width();
                match widths.get_mut(at) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        widths
    }

    /// Its text; escape codes take no room, and no line ends with blanks.
    pub(crate) fn text(&self, screen: &Screen) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let mut owed = 0;
            for (cell, width) in row.iter().zip(&widths) {
                let taken = cell.text.width();
                if taken > 0 {
                    text.push_str(&" ".repeat(owed));
                    text.push_str(&screen.paint(cell.tone, &cell.text));
                    owed = 0;
                }
                owed += width - taken + self.gap;
            }
            text.push('\n');
        }
        text
    }
}

/// Text in lines of at most `width` columns, broken between words; a word may be longer.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.width();
        if column > 0 && column + 1 + length > width {
            lines.push('\n');
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

/// The same behind `head`, with all further lines below its end.
pub(crate) fn hanging(head: &str, text: &str, width: usize) -> String {
    let indent = head.width();
    let body = wrapped(text, width.saturating_sub(indent));
    format!(
        "{head}{}",
        body.replace('\n', &format!("\n{}", " ".repeat(indent)))
    )
}

/// A line of a report: a word in its colour, what was looked at, and what there is.
pub(crate) fn looked_at(screen: &Screen, mark: (Tone, &str), name: &str, what: &str) -> String {
    let (tone, mark) = mark;
    let line = hanging(&format!("{mark:<8} {name:<11} "), what, screen.text_width());
    let rest = line.strip_prefix(mark).unwrap_or_default();
    format!("{}{rest}\n", screen.paint(tone, mark))
}

/// `text`, or so much of it as fits into `width` columns with a dot that tells.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        column += c.width().unwrap_or(0);
        if column + 1 > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one  two three", 7), "one two\nthree");
        assert_eq!(wrapped("a longest-word b", 5), "a\nlongest-word\nb");
        assert_eq!(wrapped("", 5), "");
        assert_eq!(
            hanging("why  ", "one two three", 12),
            "why  one two\n     three"
        );
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(cut("kube02", 6), "kube02");
        assert_eq!(cut("kube0222", 6), "kube0…");
        assert_eq!(cut("網網網", 5), "網網…");
        assert_eq!(cut("網網網", 4), "網…");
    }

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let mut table = Table::new(2);
        table.head(["A", "BB", "C"]);
        let cells = [
            Cell::plain("größe"),
            Cell::new(Tone::Good, "b"),
            Cell::default(),
        ];
        table.rows.push(cells.to_vec());
        table.rows.push(["網", "b", "c"].map(Cell::plain).to_vec());
        let plain = table.text(&Screen::plain(80));
        assert_eq!(plain, "A      BB  C\ngröße  b\n網     b   c\n");
        assert_eq!(table.width(), 12);
        let coloured = table.text(&Screen::coloured(80));
        assert!(
            coloured.contains("größe  \u{1b}[32mb\u{1b}[0m\n"),
            "{coloured:?}"
        );
        assert!(
            coloured.starts_with("\u{1b}[1mA\u{1b}[0m      \u{1b}[1mBB"),
            "{coloured:?}"
        );
    }
}
