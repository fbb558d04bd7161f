//! Colours, and the width of the terminal.

use std::{
    env,
    ffi::OsStr,
    io::{self, IsTerminal},
};

use clap::ValueEnum;
use virt_forward_policy::sanitize;

/// The width for a pipe, and for a terminal that does not report one.
const USUAL: usize = 80;
/// The maximum width of prose; longer lines are hard to read.
const READABLE: usize = 100;

/// ColorChoice to use colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb
    Auto,
    /// Also into a pipe or a file
    Always,
    /// Never
    Never,
}

/// The meaning of a piece of text, which determines its style.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// Plain.
    #[default]
    Plain,
    /// A table header.
    Head,
    /// Correct, or open.
    Good,
    /// Partial.
    Partial,
    /// An error, or closed.
    Bad,
    /// Less important.
    Quiet,
}

impl Style {
    /// One of the terminal's sixteen colours, which the user has chosen to be readable.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Head => Some("1"),
            Self::Good => Some("32"),
            Self::Partial => Some("33"),
            Self::Bad => Some("31"),
            Self::Quiet => Some("2"),
        }
    }
}

/// The properties of stdout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    is_coloured: bool,
    /// In columns.
    pub(crate) width: usize,
}

impl Terminal {
    /// The properties of stdout and the environment.
    pub(crate) fn of_stdout(when: ColorChoice) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let (no_color, term) = (env::var_os("NO_COLOR"), env::var_os("TERM"));
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        Self {
            is_coloured: colours(when, is_terminal, no_color.as_deref(), term.as_deref()),
            width: width(size.map(|size| size.ws_col), env::var("COLUMNS").ok()),
        }
    }

    /// A screen without colours.
    #[cfg(test)]
    pub(crate) fn plain(width: usize) -> Self {
        Self {
            is_coloured: false,
            width,
        }
    }

    /// A screen with colours.
    #[cfg(test)]
    pub(crate) fn coloured(width: usize) -> Self {
        Self {
            is_coloured: true,
            width,
        }
    }

    /// The width at which prose is wrapped.
    pub(crate) fn text_width(&self) -> usize {
        self.width.min(READABLE)
    }

    /// `text` in the style of `tone`. Each line is styled separately, as pagers need it.
    pub(crate) fn paint(&self, tone: Style, text: &str) -> String {
        let Some(code) = tone.code().filter(|_| self.is_coloured) else {
            return text.to_owned();
        };
        let lines = text.split('\n').map(|line| match line.is_empty() {
            true => String::new(),
            false => format!("\u{1b}[{code}m{line}\u{1b}[0m"),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Terminal {
    /// Escapes control characters other than newlines, tabs and, if colours are on, the codes that
    /// [`paint`](Self::paint) writes.
    pub(crate) fn lines(&self, text: &str) -> String {
        let mut parts = text.split('\u{1b}');
        let mut out = sanitize::lines(parts.next().unwrap_or_default());
        for part in parts {
            let tones = [
                Style::Head,
                Style::Good,
                Style::Partial,
                Style::Bad,
                Style::Quiet,
            ];
            let codes = tones.into_iter().filter_map(Style::code).chain(["0"]);
            let is_ours = |code: &str| {
                let rest = part
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_prefix(code));
                rest.is_some_and(|rest| rest.starts_with('m'))
            };
            out.push_str(match self.is_coloured && codes.into_iter().any(is_ours) {
                true => "\u{1b}",
                false => "\\u{1b}",
            });
            out.push_str(&sanitize::lines(part));
        }
        out
    }
}

/// The command line takes precedence over the environment (<https://no-color.org>).
fn colours(
    when: ColorChoice,
    is_terminal: bool,
    no_color: Option<&OsStr>,
    term: Option<&OsStr>,
) -> bool {
    let is_refused = no_color.is_some_and(|value| !value.is_empty());
    match when {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => is_terminal && !is_refused && term.is_some_and(|term| term != "dumb"),
    }
}

/// A serial line reports a width of zero, that is, unknown.
fn width(terminal: Option<u16>, columns: Option<String>) -> usize {
    let terminal = terminal.map(usize::from).filter(|width| *width > 0);
    let columns = || columns?.parse().ok().filter(|width| *width > 0);
    terminal.or_else(columns).unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let auto = |is_terminal, no_color: Option<&str>, term: Option<&str>| {
            let (no_color, term) = (no_color.map(OsStr::new), term.map(OsStr::new));
            colours(ColorChoice::Auto, is_terminal, no_color, term)
        };
        assert!(auto(true, None, Some("xterm")));
        assert!(auto(true, Some(""), Some("xterm")));
        assert!(!auto(true, Some("0"), Some("xterm")));
        assert!(!auto(true, None, Some("dumb")));
        assert!(!auto(true, None, None));
        assert!(!auto(false, None, Some("xterm")));
        let refused = Some(OsStr::new("1"));
        assert!(colours(ColorChoice::Always, false, refused, None));
        assert!(!colours(
            ColorChoice::Never,
            true,
            None,
            Some(OsStr::new("xterm"))
        ));
    }

    #[test]
    fn the_width_is_the_terminals_else_that_of_the_environment() {
        let columns = |text: &str| Some(text.to_owned());
        assert_eq!(width(Some(120), columns("40")), 120);
        assert_eq!(width(Some(0), columns("40")), 40);
        assert_eq!(width(None, columns("40")), 40);
        assert_eq!(width(None, columns("wide")), USUAL);
        assert_eq!(width(None, None), USUAL);
    }

    #[test]
    fn a_colour_ends_with_its_line() {
        let screen = Terminal::coloured(80);
        assert_eq!(
            screen.paint(Style::Bad, "a\n\nb"),
            "\u{1b}[31ma\u{1b}[0m\n\n\u{1b}[31mb\u{1b}[0m"
        );
        assert_eq!(screen.paint(Style::Plain, "a"), "a");
        assert_eq!(Terminal::plain(80).paint(Style::Bad, "a"), "a");
    }

    #[test]
    fn only_colours_of_ours_reach_a_terminal() {
        let painted = Terminal::coloured(80).paint(Style::Good, "a");
        let text = format!("{painted}\u{1b}[2J\u{1b}[5m\u{9b}\r\tb\n");
        assert_eq!(
            Terminal::coloured(80).lines(&text),
            format!("{painted}\\u{{1b}}[2J\\u{{1b}}[5m\\u{{9b}}\\r\tb\n")
        );
        assert_eq!(
            Terminal::plain(80).lines(&painted),
            "\\u{1b}[32ma\\u{1b}[0m"
        );
    }
}
