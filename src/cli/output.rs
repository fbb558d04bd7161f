//! Output: text, tables and JSON to stdout, warnings to stderr.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, PrettyFormatter};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::terminal::{Style, Terminal};
use virt_forward_policy::sanitize;

/// Prints text to stdout; control characters other than newlines and tabs are escaped.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    write(&sanitize::lines(text))
}

/// Prints text to stdout that contains the escape codes of `screen`.
pub(crate) fn print_painted(text: &str, screen: &Terminal) -> anyhow::Result<()> {
    write(&screen.lines(text))
}

/// A reader that closes the pipe early, such as `head`, is not an error.
fn write(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => Err(why.into()),
        _ => Ok(()),
    }
}

/// Prints an error or a warning to stderr.
pub(crate) fn warn(text: &str) {
    // If stderr is closed, the message is lost.
    let _ = writeln!(io::stderr(), "virt-forward: {}", sanitize::lines(text));
}

/// Indented JSON and a newline. Parsers get names unchanged; characters that a terminal would
/// interpret or hide are written as `\u` escapes.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    let formatter = Visible(PrettyFormatter::new());
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut bytes, formatter,
    ))?;
    bytes.push(b'\n');
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Escapes characters that serde_json does not escape; it escapes only C0.
struct Visible<'a>(PrettyFormatter<'a>);

impl Formatter for Visible<'_> {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            if sanitize::is_hidden(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }

    fn write_char_escape<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }

    fn begin_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// The width of a line in columns.
#[cfg(test)]
pub(crate) fn cells(line: &str) -> usize {
    line.width()
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Style,
}

impl Cell {
    pub(crate) fn new(tone: Style, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, tone }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(Style::Plain, text)
    }
}

/// A table whose columns are as wide as their content, separated by `gap` spaces.
pub(crate) struct Table {
    pub(crate) rows: Vec<Vec<Cell>>,
    pub(crate) gap: usize,
}

impl Table {
    pub(crate) fn new(gap: usize) -> Self {
        let rows = Vec::new();
        Self { rows, gap }
    }

    /// Adds a header row.
    pub(crate) fn head<'a>(&mut self, heads: impl IntoIterator<Item = &'a str>) {
        let heads = heads.into_iter().map(|head| Cell::new(Style::Head, head));
        self.rows.push(heads.collect());
    }

    /// The width of the widest row.
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

    /// The text of the table. Escape codes have no width, and lines have no trailing spaces.
    pub(crate) fn text(&self, screen: &Terminal) -> String {
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

/// Wraps text at `width` columns between words; a longer word stays whole.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    joined(text.split_whitespace(), width)
}

/// Wraps a shell command; a quoted argument is one word.
pub(crate) fn wrapped_command(command: &str, width: usize) -> String {
    joined(command_words(command).into_iter(), width)
}

/// Splits a command at spaces outside of quotes.
fn command_words(command: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (None, false, false);
    for (at, c) in command.char_indices() {
        let is_blank = c == ' ' && !is_quoted && !is_escaped;
        match (start, is_blank) {
            (None, false) => start = Some(at),
            (Some(from), true) => {
                words.extend(command.get(from..at));
                start = None;
            }
            _ => {}
        }
        is_quoted ^= c == '\'' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
    }
    words.extend(start.and_then(|from| command.get(from..)));
    words
}

fn joined<'a>(words: impl Iterator<Item = &'a str>, width: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in words {
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

/// Wraps text after `head`, and indents the following lines by its width.
pub(crate) fn hanging_indent(head: &str, text: &str, width: usize) -> String {
    let indent = head.width();
    let body = wrapped(text, width.saturating_sub(indent));
    format!(
        "{head}{}",
        body.replace('\n', &format!("\n{}", " ".repeat(indent)))
    )
}

/// A line of a report: a coloured status, the subject, and the finding.
pub(crate) fn report_line(
    screen: &Terminal,
    mark: (Style, &str),
    name: &str,
    what: &str,
) -> String {
    let (tone, mark) = mark;
    let line = hanging_indent(&format!("{mark:<8} {name:<11} "), what, screen.text_width());
    let rest = line.strip_prefix(mark).unwrap_or_default();
    format!("{}{rest}\n", screen.paint(tone, mark))
}

/// `text`, truncated to `width` columns with an ellipsis if it is longer.
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
            hanging_indent("why  ", "one two three", 12),
            "why  one two\n     three"
        );
    }

    #[test]
    fn a_quoted_word_is_not_broken() {
        let command = r"virsh net-start 'my  lab'; reboot 'it'\''s me' $'a\' b' c";
        let lines = wrapped_command(command, 1);
        let lines: Vec<_> = lines.lines().collect();
        let expected = [
            "virsh",
            "net-start",
            "'my  lab';",
            "reboot",
            r"'it'\''s me'",
            r"$'a\' b'",
            "c",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn json_keeps_the_name_and_shows_every_character_of_it() {
        let name = "a\u{1b}[2J\u{9b}\u{7f}\n\u{202e}\u{feff}\u{e0041}ü\"\\";
        let value = serde_json::json!({ "name": name, "empty": [], "list": [1, {}] });
        let text = json(&value).unwrap();
        assert!(
            !text
                .trim_end()
                .replace('\n', "")
                .chars()
                .any(sanitize::is_hidden),
            "{text:?}"
        );
        assert!(
            text.contains(r"\u009b\u007f\n\u202e\ufeff\udb40\udc41ü"),
            "{text}"
        );
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, value);
        let plain = serde_json::json!({ "name": "a", "empty": [], "list": [1, {}] });
        let usual = serde_json::to_string_pretty(&plain).unwrap() + "\n";
        assert_eq!(json(&plain).unwrap(), usual);
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
            Cell::new(Style::Good, "b"),
            Cell::default(),
        ];
        table.rows.push(cells.to_vec());
        table.rows.push(["網", "b", "c"].map(Cell::plain).to_vec());
        let plain = table.text(&Terminal::plain(80));
        assert_eq!(plain, "A      BB  C\ngröße  b\n網     b   c\n");
        assert_eq!(table.width(), 12);
        let coloured = table.text(&Terminal::coloured(80));
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
