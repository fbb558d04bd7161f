//! Saying things to the person, or the program, at the other end.

use std::io::{self, Write};

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

/// Columns of text, as wide as they need, two blanks apart; the first row is the head.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(at) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Text in lines of at most `width` columns, broken between words; a word may be longer.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
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

/// The width of the widest line.
pub(crate) fn width(text: &str) -> usize {
    text.lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one  two three", 7), "one two\nthree");
        assert_eq!(wrapped("a longest-word b", 5), "a\nlongest-word\nb");
        assert_eq!(wrapped("", 5), "");
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect();
        let text = columns(&[row(&["A", "BB", "C"]), row(&["größe", "b", ""])]);
        assert_eq!(text, "A      BB  C\ngröße  b\n");
        assert_eq!(width(&text), 12);
    }
}
