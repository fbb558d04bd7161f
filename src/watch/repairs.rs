//! What to say of repairs, as values: while a program reloads its rules, the same thing may need
//! several of them, and that is one line and a summary.

use std::time::{Duration, Instant};

use virt_forward_policy::sanitize::escape;

/// Repairs within this time of the one before belong together.
const TOGETHER: Duration = Duration::from_secs(1);

/// Most of those who changed something that are named in one line.
const MOST_NAMED: usize = 3;

/// Repairs that belong together.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    latest: Option<Instant>,
    /// What was told of.
    told: Vec<String>,
    /// Those that repaired nothing else, and are not yet told of.
    more: usize,
    what: Vec<String>,
    by: Vec<String>,
}

impl Repairs {
    /// These things have been repaired, or none, after changes by those. What to say now.
    pub(super) fn made(&mut self, now: Instant, mended: &[String], by: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        if self.latest.is_none_or(|latest| now - latest >= TOGETHER) {
            lines.extend(self.summary());
        }
        if mended.is_empty() {
            return lines;
        }
        self.latest = Some(now);
        let is_new = mended.iter().any(|what| !self.told.contains(what));
        match is_new {
            true => {
                add(&mut self.told, mended);
                lines.push(format!("{}: put right{}", mended.join("; "), named(by)));
            }
            false => {
                self.more += 1;
                add(&mut self.what, mended);
                add(&mut self.by, by);
            }
        }
        lines
    }

    /// When there is something to say, if there is.
    pub(super) fn due(&self) -> Option<Instant> {
        let latest = self.latest.filter(|_| self.more > 0)?;
        Some(latest + TOGETHER)
    }

    fn summary(&mut self) -> Option<String> {
        let ended = std::mem::take(self);
        let times = match ended.more {
            0 => return None,
            1 => "once more".to_owned(),
            more => format!("{more} times more"),
        };
        let what = ended.what.join("; ");
        Some(format!("put right {times}: {what}{}", named(&ended.by)))
    }
}

fn add(known: &mut Vec<String>, new: &[String]) {
    for one in new {
        if !known.contains(one) {
            known.push(one.clone());
        }
    }
}

/// Who did it, as far as the kernel says.
fn named(by: &[String]) -> String {
    let mut names = Vec::new();
    add(&mut names, by);
    let more = names.len().saturating_sub(MOST_NAMED);
    // A process chooses its own name.
    let names: Vec<_> = names
        .iter()
        .take(MOST_NAMED)
        .map(|name| escape(name))
        .collect();
    match (names.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(" (after changes by {})", names.join(", ")),
        (false, more) => format!(" (after changes by {} and {more} others)", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn one_line_for_one_repair_and_one_for_all_that_follow() {
        let start = Instant::now();
        let mut repairs = Repairs::default();
        let by = words("nft[1] nft[2] nft[3] nft[4]");
        let said = repairs.made(start, &words("gate"), &by);
        assert_eq!(
            said,
            ["gate: put right (after changes by nft[1], nft[2], nft[3] and 1 others)"]
        );
        assert_eq!(repairs.due(), None);
        let mut now = start;
        for _ in 0..4 {
            now += TOGETHER / 2;
            let said = repairs.made(now, &words("gate"), &words("libvirtd[7]"));
            assert!(said.is_empty());
        }
        assert!(repairs.made(now + TOGETHER / 2, &[], &[]).is_empty());
        let due = repairs.due().unwrap();
        assert_eq!(due, now + TOGETHER);
        let said = repairs.made(due, &[], &[]);
        let expected = "put right 4 times more: gate (after changes by libvirtd[7])";
        assert_eq!(said, [expected]);
        assert_eq!(repairs.due(), None);
        assert!(repairs.made(due + TOGETHER, &[], &[]).is_empty());
        let said = repairs.made(due + TOGETHER, &words("gate"), &[]);
        assert_eq!(said, ["gate: put right"]);
    }

    #[test]
    fn another_repair_is_told_of_at_once() {
        let start = Instant::now();
        let mut repairs = Repairs::default();
        assert_eq!(repairs.made(start, &words("gate"), &[]).len(), 1);
        let said = repairs.made(start, &words("gate table"), &[]);
        assert_eq!(said, ["gate; table: put right"]);
        assert!(repairs.made(start, &words("table"), &[]).is_empty());
    }
}
