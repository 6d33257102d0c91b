//! The state of an audit, as far as two audits are compared.

use crate::declare::Slice;
use serde_json::Value;
use std::collections::BTreeMap;

/// What one audit declared, read and concluded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// The regime's name.
    pub regime: String,
    /// The regime's semantic version, as written.
    pub regime_version: String,
    /// SHA-256 of the regime's content, in canonical form.
    pub regime_fingerprint: String,
    /// The version that it replaces.
    pub supersedes: Option<String>,
    /// Why this population.
    pub motivation: String,
    /// Other things that the regime declares, by name: owner, dates, covariates, pairs, slices.
    pub declared: BTreeMap<String, Value>,
    /// The covariates, in order. Cells of audits with different ones cannot be compared.
    pub covariates: Vec<String>,
    /// Resolved target masses.
    pub masses: BTreeMap<Slice, f64>,
    /// Declared mechanisms, by id.
    pub mechanisms: BTreeMap<String, Mechanism>,
    /// The policy's name.
    pub policy: String,
    /// The policy's semantic version, as written.
    pub policy_version: String,
    /// SHA-256 of the resolved policy's content, in canonical form.
    pub policy_fingerprint: String,
    /// From which verdict on the exit code is 1.
    pub fail_on: String,
    /// Severities and limits by check and key; `None` where the record does not hold them.
    pub limits: Option<BTreeMap<(String, String), Value>>,
    /// Which side of a limit is inside, where a measure of the record shows it.
    pub directions: BTreeMap<(String, String), Direction>,
    /// Waivers: the check, cell and ticket of each, and its last day.
    pub waivers: BTreeMap<String, String>,
    /// Rows read, by the mechanism that they name; `None` without such a column.
    pub observed_mechanisms: Option<BTreeMap<String, u64>>,
    /// Rows read.
    pub read: u64,
    /// Rows audited.
    pub audited: u64,
    /// Rows excluded, by reason.
    pub excluded: BTreeMap<String, u64>,
    /// Audited rows by cell, cells without any left out.
    pub cells: BTreeMap<Slice, u64>,
    /// Numbers of the weight summary, by name.
    pub weights: BTreeMap<String, f64>,
    /// Digests of what was read, by role and name.
    pub inputs: BTreeMap<String, String>,
    /// How the audit document reads answers and judges candidates; null where the record does not hold it.
    pub evaluation: Value,
    /// Candidates, by name.
    pub candidates: BTreeMap<String, Candidate>,
    /// Challengers against incumbents, by `challenger against incumbent`.
    pub comparisons: BTreeMap<String, Comparison>,
    /// The checks' results and the verdict; `None` while an audit is being made.
    pub results: Option<Results>,
}

/// A declared pair-assignment mechanism.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mechanism {
    /// What is declared of it, by name.
    pub declared: BTreeMap<String, Value>,
}

/// A candidate, by the numbers that the record gives of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Candidate {
    /// Estimates by name.
    pub estimates: BTreeMap<String, f64>,
}

/// A challenger against an incumbent, by what the record says of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// Differences and tipping points by name.
    pub numbers: BTreeMap<String, f64>,
    /// What the interval of the target difference says.
    pub standing: Standing,
}

/// How a challenger stands against an incumbent under the target; a later one is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Standing {
    /// There is no interval.
    #[default]
    Unknown,
    /// The interval lies below zero.
    Trails,
    /// The interval holds zero.
    Undecided,
    /// The interval lies above zero.
    Leads,
}

impl Standing {
    /// What an interval says.
    pub fn of(interval: Option<[f64; 2]>) -> Standing {
        match interval {
            Some([low, _]) if low > 0.0 => Standing::Leads,
            Some([_, high]) if high < 0.0 => Standing::Trails,
            Some(_) => Standing::Undecided,
            None => Standing::Unknown,
        }
    }

    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Unknown => "unknown",
            Standing::Trails => "trails",
            Standing::Undecided => "undecided",
            Standing::Leads => "leads",
        }
    }
}

/// Which side of a limit is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Values at least the limit: lower is looser.
    AtLeast,
    /// Values at most the limit: higher is looser.
    AtMost,
}

/// What an audit concluded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Results {
    /// `pass`, `diagnostic` or `block`.
    pub verdict: String,
    /// The checks, by id.
    pub checks: BTreeMap<String, Check>,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Check {
    /// Its status after waivers.
    pub status: String,
    /// The severity in force.
    pub severity: String,
    /// What it makes of the verdict: `pass`, `diagnostic` or `block`.
    pub verdict: String,
    /// Its headline: what is measured, and the value.
    pub headline: Option<(String, Option<f64>)>,
}
