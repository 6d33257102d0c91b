//! What the outputs for pipelines share: how grave a result is, and which line of YAML set its limit.

use super::record::{CheckRecord, MeasureRecord, PolicyLimit, Report, Status, Verdict};
use super::view::is_finding;
use std::path::{Component, Path};

/// How grave a result is for whoever waits for the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// It blocks, or its verdict reaches the gate.
    Error,
    /// It is in the verdict and does not reach the gate.
    Warning,
    /// It is shown: a waiver covers it, or its severity is `note`.
    Note,
}

/// The results that are not well, with their level: what fails, warns or could not be computed, and what is waived.
pub(super) fn findings(report: &Report) -> impl Iterator<Item = (&CheckRecord, Level)> {
    report.checks.iter().filter(|check| is_finding(check.status)).map(|check| (check, level(check, report)))
}

fn level(check: &CheckRecord, report: &Report) -> Level {
    match check.verdict {
        Verdict::Block => Level::Error,
        Verdict::Diagnostic if report.fail_on == "diagnostic" => Level::Error,
        Verdict::Diagnostic => Level::Warning,
        Verdict::Pass => Level::Note,
    }
}

/// Whether a check is among the reasons why the exit code is 1.
pub(super) fn reaches_gate(check: &CheckRecord, report: &Report) -> bool {
    level(check, report) == Level::Error
}

/// Where the limit that a check crosses is set: the first limit crossed, else the check's severity.
pub(super) fn place<'r>(check: &CheckRecord, report: &'r Report) -> Option<&'r PolicyLimit> {
    let crossed = check.measures.iter().filter(|measure| measure.crossed.is_some()).filter_map(key);
    crossed.chain(["severity"]).find_map(|key| limit(check, key, report))
}

/// The other limits that a check crosses.
pub(super) fn other_places<'r>(check: &CheckRecord, report: &'r Report) -> Vec<&'r PolicyLimit> {
    let first = place(check, report).map(|limit| limit.key.as_str());
    let mut keys: Vec<&str> =
        check.measures.iter().filter(|measure| measure.crossed.is_some()).filter_map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().filter(|key| Some(*key) != first).filter_map(|key| limit(check, key, report)).collect()
}

fn key(measure: &MeasureRecord) -> Option<&str> {
    measure.limit.as_ref()?.key.as_deref()
}

fn limit<'r>(check: &CheckRecord, key: &str, report: &'r Report) -> Option<&'r PolicyLimit> {
    report.policy.limits.iter().find(|limit| limit.check == check.id && limit.key == key)
}

/// Whether a place is a line of a file that the user has: not the program's own policy, not the command line.
pub(super) fn is_in_file(limit: &PolicyLimit) -> bool {
    !limit.shipped && limit.line.is_some()
}

/// The audit document's name, which stands for what is in no other file of the user's.
pub(super) fn audit_document(report: &Report) -> &str {
    report.inputs.iter().find(|input| input.role == "audit").map_or("audit.yaml", |input| input.name.as_str())
}

/// A name of the record as a path from the working folder: names are relative to the audit document's folder, `folder`.
/// Steps up are taken out where they can be, because pipelines know files by their path in the repository.
pub(super) fn path(folder: &str, name: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let joined = Path::new(folder).join(name);
    for component in joined.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if parts.last().is_some_and(|last| last != ".." && last != "/") => {
                parts.pop();
            }
            other => parts.push(other.as_os_str().to_string_lossy().into_owned()),
        }
    }
    match parts.split_first() {
        Some((root, rest)) if root == "/" => format!("/{}", rest.join("/")),
        _ => parts.join("/"),
    }
}

/// The message and what to do, on one line.
pub(super) fn sentence(check: &CheckRecord) -> String {
    let message = super::format::sentence(&check.message);
    let waived = if check.status == Status::Waived { "Waived: " } else { "" };
    match &check.remedy {
        Some(remedy) => format!("{waived}{message} {}", super::format::sentence(remedy)),
        None => format!("{waived}{message}"),
    }
}

/// The waivers that cover a check's findings.
pub(super) fn waivers<'r>(
    check: &'r CheckRecord,
    report: &'r Report,
) -> impl Iterator<Item = &'r super::record::WaiverRecord> {
    let applied = |state: &str| state == "applied" || state == "over_broad";
    report.waivers.iter().filter(move |waiver| waiver.check == check.id && applied(&waiver.state))
}
