//! A report for people.

use std::fmt::Write;

use super::{Mark, Report, Step};
use crate::output;

/// What a terminal is wide.
const WIDTH: usize = 80;

impl Report {
    /// A line a step, and a sentence.
    pub(crate) fn for_people(&self) -> String {
        let mut text = format!("{} from {} to {}\n\n", self.packet, self.from, self.to);
        text.push_str(&lines(&self.steps));
        if let Some(probe) = &self.probe {
            let head = format!(
                "\nThe packet itself, {} from {} to {}:\n\n",
                self.packet, probe.from, probe.to
            );
            text.push_str(&head);
            text.push_str(&lines(&probe.steps()));
        }
        let _ = writeln!(text, "\n{}", output::wrapped(&self.why, WIDTH));
        let mut remedies: Vec<_> = self
            .steps
            .iter()
            .filter(|step| step.state != Mark::Ok)
            .collect();
        // First things first.
        remedies.sort_by_key(|step| step.state != Mark::Blocked);
        for line in remedies.into_iter().flat_map(|step| &step.remedy) {
            let _ = writeln!(text, "  {line}");
        }
        for line in self.probe.iter().flat_map(|probe| &probe.remedy) {
            let _ = writeln!(text, "  {line}");
        }
        text
    }
}

fn lines(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let mark = match step.state {
            Mark::Ok => "ok",
            Mark::Blocked => "BLOCKED",
            Mark::Unclear => "unclear",
        };
        let head = format!("{mark:<8} {:<11} ", step.step);
        let indent = " ".repeat(head.len());
        let what = output::wrapped(&step.what, WIDTH - head.len());
        let what = what.replace('\n', &format!("\n{indent}"));
        let _ = writeln!(text, "{head}{what}");
    }
    text
}
