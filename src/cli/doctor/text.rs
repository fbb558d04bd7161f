//! A report for people.

use std::fmt::Write;

use super::{Finding, Report, State};
use crate::{
    output,
    paint::{Screen, Tone},
};

/// How far a remedy is from the left.
const INDENT: usize = 4;

impl Report {
    /// A line a finding, with what to do under what is wrong, and a sentence.
    pub(crate) fn for_people(&self, screen: &Screen) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&finding.for_people(screen));
        }
        let wrong = self.findings.iter().filter(|one| one.state == State::Wrong);
        let mut names: Vec<_> = wrong.map(|one| one.check).collect();
        names.dedup();
        let names = names.join(", ");
        let sentence = match self.wrong {
            0 => "Nothing is wrong.".to_owned(),
            1 => format!("1 thing is wrong: {names}."),
            wrong => format!("{wrong} things are wrong: {names}."),
        };
        let tone = match self.wrong {
            0 => Tone::Good,
            _ => Tone::Bad,
        };
        let sentence = output::wrapped(&sentence, screen.text_width());
        let _ = writeln!(text, "\n{}", screen.paint(tone, &sentence));
        text
    }
}

impl Finding {
    fn for_people(&self, screen: &Screen) -> String {
        let mark = match self.state {
            State::Ok => (Tone::Good, "ok"),
            State::Wrong => (Tone::Bad, "WRONG"),
            State::Note => (Tone::Partial, "note"),
        };
        let mut text = output::looked_at(screen, mark, self.check, &self.what);
        for line in &self.remedy {
            for part in folded(line, screen.text_width()) {
                let _ = writeln!(text, "{:INDENT$}{part}", "");
            }
        }
        text
    }
}

/// A line for a shell in parts that fit, each but the last with the backslash that a shell
/// takes for no end; one for a person with words only.
fn folded(line: &str, width: usize) -> Vec<String> {
    let most = width.saturating_sub(INDENT);
    if line.chars().count() <= most {
        return vec![line.to_owned()];
    }
    if let Some(remark) = line.strip_prefix("# ") {
        let wrapped = output::wrapped(remark, most.saturating_sub(2));
        return wrapped.lines().map(|part| format!("# {part}")).collect();
    }
    let wrapped = output::wrapped_command(line, most.saturating_sub(4));
    let mut parts: Vec<_> = wrapped.lines().map(|part| format!("  {part} \\")).collect();
    if let Some(first) = parts.first_mut() {
        *first = first.trim_start().to_owned();
    }
    if let Some(last) = parts.last_mut() {
        *last = last.trim_end_matches(" \\").to_owned();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let long = "a sentence that goes on ".repeat(9);
        let command = "iptables -t mangle -I POSTROUTING ".repeat(5);
        let report = Report::new(vec![
            Finding::ok("hook", long.clone()),
            Finding::wrong("gates", long.clone())
                .with(command.trim_end())
                .with(format!("# {long}"))
                .with("short"),
            Finding::note("watch", "one"),
        ]);
        let text = report.for_people(&Screen::plain(80));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let joined = text.replace(" \\\n      ", " ");
        assert!(joined.contains(command.trim_end()), "{text}");
        assert!(
            text.ends_with("\n    short\nnote     watch       one\n\n1 thing is wrong: gates.\n")
        );
    }

    #[test]
    fn the_last_sentence_counts() {
        assert!(
            Report::new(vec![])
                .for_people(&Screen::plain(80))
                .contains("Nothing is wrong.")
        );
        let two = vec![Finding::wrong("a", ""), Finding::wrong("b", "")];
        assert!(
            Report::new(two)
                .for_people(&Screen::plain(80))
                .contains("2 things are wrong: a, b.")
        );
    }
}
