//! A report for people.

use std::fmt::Write;

use super::{Mark, Report, Step};
use crate::{
    output,
    paint::{Screen, Tone},
};

impl Report {
    /// A line a step, and a sentence.
    pub(crate) fn for_people(&self, screen: &Screen) -> String {
        let head = format!("{} from {} to {}", self.packet, self.from, self.to);
        let head = output::wrapped(&head, screen.text_width());
        let mut text = format!("{}\n\n", screen.paint(Tone::Head, &head));
        text.push_str(&lines(&self.steps, screen));
        if let Some(probe) = &self.probe {
            let head = format!(
                "The packet itself, {} from {} to {}:",
                self.packet, probe.from, probe.to
            );
            let head = output::wrapped(&head, screen.text_width());
            let _ = writeln!(text, "\n{}\n", screen.paint(Tone::Head, &head));
            text.push_str(&lines(&probe.steps(), screen));
        }
        let tone = match self.is_open() {
            true => Tone::Good,
            false => Tone::Bad,
        };
        let why = output::wrapped(&self.why, screen.text_width());
        let _ = writeln!(text, "\n{}", screen.paint(tone, &why));
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

fn lines(steps: &[Step], screen: &Screen) -> String {
    let line = |step: &Step| {
        let mark = match step.state {
            Mark::Ok => (Tone::Good, "ok"),
            Mark::Blocked => (Tone::Bad, "BLOCKED"),
            Mark::Unclear => (Tone::Partial, "unclear"),
        };
        output::looked_at(screen, mark, step.step, &step.what)
    };
    steps.iter().map(line).collect()
}
