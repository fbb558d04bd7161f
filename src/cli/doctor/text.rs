//! The report as text.

use std::fmt::Write;

use super::{
    DoctorReport,
    diagnosis::{Diagnosis, Fix, Severity},
};
use crate::{
    output,
    terminal::{Style, Terminal},
};

/// The indentation of a fix.
const INDENT: usize = 4;

impl DoctorReport {
    /// A line for each finding, followed by its fix, and a summary.
    pub(crate) fn render(&self, screen: &Terminal) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&render_finding(finding.diagnosis(), screen));
        }
        let tone = if self.is_healthy() {
            Style::Good
        } else {
            Style::Bad
        };
        let summary = output::wrapped(&self.summary(), screen.text_width());
        let _ = writeln!(text, "\n{}", screen.paint(tone, &summary));
        text
    }

    fn summary(&self) -> String {
        let diagnoses = self.findings.iter().map(|finding| finding.diagnosis());
        let errors = diagnoses.filter(|finding| finding.severity() == Severity::Error);
        let mut subjects = Vec::new();
        for error in errors {
            let subject = error.subject().name();
            if !subjects.contains(&subject) {
                subjects.push(subject);
            }
        }
        let subjects = subjects.join(", ");
        match self.errors {
            0 => "No problems found.".to_owned(),
            1 => format!("1 problem: {subjects}"),
            errors => format!("{errors} problems: {subjects}"),
        }
    }
}

fn render_finding(finding: &dyn Diagnosis, screen: &Terminal) -> String {
    let label = match finding.severity() {
        Severity::Ok => (Style::Good, "ok"),
        Severity::Note => (Style::Partial, "note"),
        Severity::Error => (Style::Bad, "error"),
    };
    let subject = finding.subject().name();
    let mut text = output::report_line(screen, label, subject, &finding.to_string());
    for fix in finding.fix() {
        for line in fix_lines(&fix, screen.text_width().saturating_sub(INDENT)) {
            let _ = writeln!(text, "{:INDENT$}{line}", "");
        }
    }
    text
}

/// A fix in lines of at most `width` columns. The lines of a long command end with a backslash,
/// so that it can be pasted into a shell; its remark precedes it.
fn fix_lines(fix: &Fix, width: usize) -> Vec<String> {
    let whole = fix.to_string();
    if whole.chars().count() <= width {
        return vec![whole];
    }
    match fix {
        Fix::Config(_) => vec![whole],
        Fix::Advice(text) => comment_lines(text, width),
        Fix::Command { line, remark } => {
            let remark = remark.as_deref().map(|text| comment_lines(text, width));
            let mut lines = remark.unwrap_or_default();
            lines.extend(command_lines(line, width));
            lines
        }
    }
}

fn comment_lines(text: &str, width: usize) -> Vec<String> {
    let wrapped = output::wrapped(text, width.saturating_sub(2));
    wrapped.lines().map(|line| format!("# {line}")).collect()
}

fn command_lines(command: &str, width: usize) -> Vec<String> {
    let wrapped = output::wrapped_command(command, width.saturating_sub(4));
    let joined = wrapped.replace('\n', " \\\n  ");
    joined.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use virt_forward_policy::VERSION;

    use crate::doctor::{
        finding::Finding, fixtures::examples, hook::HookFinding, table::TableFinding,
    };

    #[test]
    fn every_finding_reads_as_reviewed() {
        let text = DoctorReport::new(examples()).render(&Terminal::plain(80));
        insta::assert_snapshot!(text.replace(VERSION, "[version]"));
    }

    /// The rows of docs/json.md: each `check` with its kinds.
    #[test]
    fn the_documentation_lists_every_kind() {
        let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for finding in examples() {
            let diagnosis = finding.diagnosis();
            let of_check = kinds.entry(diagnosis.subject().name()).or_default();
            of_check.insert(diagnosis.kind());
        }
        let page = include_str!("../../../docs/json.md");
        for (check, kinds) in kinds {
            let kinds: Vec<_> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
            let row = format!("| `{check}` | {} |\n", kinds.join(", "));
            assert!(page.contains(&row), "docs/json.md lacks the row\n{row}");
        }
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let text = DoctorReport::new(examples()).render(&Terminal::plain(80));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn a_long_command_can_be_pasted() {
        let command = "iptables -t mangle -I POSTROUTING ".repeat(5);
        let lines = fix_lines(&Fix::command(command.trim_end()), 60);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.chars().count() <= 60));
        assert_eq!(lines.join("\n").replace(" \\\n  ", " "), command.trim_end());
        let remarked = Fix::command_with("virsh net-edit kube03", "another subnet");
        assert_eq!(
            fix_lines(&remarked, 60),
            ["virsh net-edit kube03   # another subnet"]
        );
        assert_eq!(
            fix_lines(&remarked, 30),
            ["# another subnet", "virsh net-edit kube03"]
        );
    }

    #[test]
    fn the_summary_counts_problems() {
        let summary = |findings: Vec<Finding>| DoctorReport::new(findings).summary();
        assert_eq!(summary(vec![]), "No problems found.");
        let table = || Finding::from(TableFinding::Differs);
        assert_eq!(summary(vec![table()]), "1 problem: table");
        let path = "/x".to_owned();
        let hook = Finding::from(HookFinding::NotExecutable { path });
        assert_eq!(
            summary(vec![hook.clone(), hook, table()]),
            "3 problems: hook, table"
        );
    }
}
