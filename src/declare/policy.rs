//! The audit policy: severities, limits, the gate and the waivers.

use super::{Slice, Source};
use chrono::NaiveDate;
use semver::Version;
use std::collections::BTreeMap;

/// A validated `counterweight/policy/v1` document, with `extends` resolved and every check of `standard` present.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The document as read (before `extends`).
    pub source: Source,
    /// The policy's name.
    pub name: String,
    /// The policy's semantic version.
    pub version: Version,
    /// SHA-256 of the RFC 8785 JSON of the resolved policy (after `extends`, inheritance from `standard` and `--set`).
    pub fingerprint: String,
    /// From which verdict on the exit code is 1.
    pub fail_on: FailOn,
    /// Severity and limits of every check, by check id.
    pub checks: BTreeMap<String, CheckPolicy>,
    /// The waivers, in the order written.
    pub waivers: Vec<Waiver>,
}

/// From which verdict on the exit code is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailOn {
    /// A `diagnostic` verdict fails the gate too.
    Diagnostic,
    /// Only a `block` verdict fails the gate.
    Block,
}

/// What a check's failure means for the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Shown, never in the verdict.
    Note,
    /// Makes the verdict diagnostic.
    Diagnostic,
    /// Blocks.
    Block,
}

/// Severity and limits of one check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckPolicy {
    /// The severity.
    pub severity: Severity,
    /// The severity that applies instead when the log does not carry the evidence that the check needs.
    pub when_not_logged: Option<Severity>,
    /// The limits by name. The names and kinds allowed are those that `standard` gives the check.
    pub limits: BTreeMap<String, Limit>,
}

/// One limit.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// A finite number, at least 0.
    Number(f64),
    /// A list of finite numbers, such as a grid of Gamma.
    Numbers(Vec<f64>),
    /// A word, such as the name of a box.
    Text(String),
    /// A list of words, such as the roles that must be mapped.
    Texts(Vec<String>),
}

/// Permission to go on although a check does not pass: mandatory reason, owner, approver, ticket and expiry.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiver {
    /// The check that is waived.
    pub check: String,
    /// Restricts the waiver to findings within this slice; the whole check when absent.
    pub cell: Option<Slice>,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub owner: String,
    /// Who agreed.
    pub approver: String,
    /// Where it is recorded.
    pub ticket: String,
    /// The last day on which it holds.
    pub expires: NaiveDate,
    /// The line of the policy document on which it stands, 1-based.
    pub line: usize,
}

/// The policies embedded in the binary: name and YAML text.
pub fn shipped_policies() -> [(&'static str, &'static str); 2] {
    [("standard", include_str!("../../policies/standard.yaml")), ("strict", include_str!("../../policies/strict.yaml"))]
}
