//! The rules of change management: how many changes of which kind, or how large, a policy lets pass.

use super::{Change, Kind};

/// One rule.
#[derive(Debug, PartialEq)]
pub struct Rule {
    /// The limit's name in the policy, under `change-management`.
    pub key: &'static str,
    /// What is counted or measured, in words.
    pub name: &'static str,
    /// The kind of change that falls under it.
    pub kind: Kind,
    /// Whether the largest change is held against the limit, not their number.
    pub largest: bool,
    /// Whether it is about results, which only `counterweight diff` has.
    pub of_results: bool,
}

impl Rule {
    /// Whether crossing its limit is a failure, not a warning.
    pub fn fails(&self) -> bool {
        !self.key.starts_with("warn_")
    }
}

const fn count(key: &'static str, name: &'static str, kind: Kind) -> Rule {
    Rule { key, name, kind, largest: false, of_results: false }
}

const fn largest(key: &'static str, name: &'static str, kind: Kind) -> Rule {
    Rule { largest: true, ..count(key, name, kind) }
}

const fn result(key: &'static str, name: &'static str, kind: Kind) -> Rule {
    Rule { of_results: true, ..count(key, name, kind) }
}

/// Every rule, the gravest first.
pub static RULES: [Rule; 11] = [
    count("max_unversioned", "changes under an unchanged version", Kind::Unversioned),
    count("max_undeclared_mechanisms", "new mechanisms that nobody declared", Kind::Undeclared),
    result("max_regressions", "results that block and did not", Kind::Regression),
    count("warn_unexplained", "versions without a reason or a predecessor", Kind::Unexplained),
    count("warn_loosened", "limits loosened, checks dropped, waivers added", Kind::Loosened),
    count("warn_mechanisms", "mechanisms added, removed or declared otherwise", Kind::Mechanism),
    count("warn_evaluation", "ways of reading answers or judging candidates that are others", Kind::Evaluation),
    count("warn_vanished_cells", "cells that vanished from the log", Kind::Vanished),
    largest("warn_moved_share", "largest move of a cell's share of the log", Kind::Moved),
    largest("warn_lost_share", "share of the audited rows that was lost", Kind::Lost),
    result("warn_worsened", "results that are worse and do not block", Kind::Worsened),
];

/// A rule, applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling<'c> {
    /// The rule.
    pub rule: &'static Rule,
    /// The number of changes, or the largest.
    pub value: f64,
    /// The policy's limit.
    pub limit: f64,
    /// The changes under the rule, in their order.
    pub changes: Vec<&'c Change>,
}

impl Ruling<'_> {
    /// Whether the limit is crossed.
    pub fn crossed(&self) -> bool {
        self.value > self.limit
    }
}

/// Holds changes against the limits that `limit` gives by name. Rules about results are left out unless `results`.
///
/// # Errors
/// The name of a limit that is not there.
pub fn judge<'c>(
    changes: &'c [Change],
    results: bool,
    limit: impl Fn(&str) -> Option<f64>,
) -> Result<Vec<Ruling<'c>>, &'static str> {
    RULES
        .iter()
        .filter(|rule| results || !rule.of_results)
        .map(|rule| Ok(ruling(rule, changes, limit(rule.key).ok_or(rule.key)?)))
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "a number of changes")]
fn ruling<'c>(rule: &'static Rule, changes: &'c [Change], limit: f64) -> Ruling<'c> {
    let changes: Vec<&Change> = changes.iter().filter(|change| change.kind == rule.kind).collect();
    let largest = changes.iter().map(|change| change.size).fold(0.0, f64::max);
    let value = if rule.largest { largest } else { changes.len() as f64 };
    Ruling { rule, value, limit, changes }
}
