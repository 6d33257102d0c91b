//! One audit held against an earlier one: what changed, and which changes the policy lets pass.
//!
//! Owns: the state of an audit as plain data, the comparison of two states, the rules of change management; what an audit
//! does otherwise than a protocol that was signed before.
//! Must never: read files, word a report, or know where a state comes from. `counterweight diff` and the check
//! `change-management` both go through [`compare`] and [`judge`].
//!
//! Source: Lemma (2026), section 9, "Change management hooks": silent changes to g_O are silent changes to the estimand;
//! a declared p_T that changes is versioned.

mod compare;
mod protocol;
mod rules;
mod state;

pub use compare::compare;
pub use protocol::{Frozen, departures};
pub use rules::{RULES, Rule, Ruling, judge};
pub use state::{Candidate, Check, Comparison, Direction, Mechanism, Results, Standing, State};

use serde_json::Value;

/// One difference between two states.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it is about.
    pub about: About,
    /// What changed, in words.
    pub item: String,
    /// The value before: a number, text or list; `None` where there was none.
    pub before: Option<Value>,
    /// The value after; `None` where there is none.
    pub after: Option<Value>,
    /// What kind of change it is.
    pub kind: Kind,
    /// How large it is, where the rules ask: a share that moved or was lost; otherwise 1.
    pub size: f64,
}

/// What a change is about, in the order in which changes are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// The verdict.
    Verdict,
    /// The declared regime.
    Regime,
    /// Severities and limits.
    Policy,
    /// Waivers.
    Waivers,
    /// Pair-assignment mechanisms, declared and observed.
    Mechanisms,
    /// Rows read, audited and excluded.
    Rows,
    /// Cells of the log.
    Cells,
    /// What the rows are worth for the target.
    Weights,
    /// Files that were read.
    Inputs,
    /// The checks' results.
    Checks,
    /// Candidates.
    Candidates,
    /// How an audit document evaluates.
    Evaluation,
    /// A signed protocol itself.
    Protocol,
}

impl About {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            About::Verdict => "verdict",
            About::Regime => "regime",
            About::Policy => "policy",
            About::Waivers => "waivers",
            About::Mechanisms => "mechanisms",
            About::Rows => "rows",
            About::Cells => "cells",
            About::Weights => "weights",
            About::Inputs => "inputs",
            About::Checks => "checks",
            About::Candidates => "candidates",
            About::Evaluation => "evaluation",
            About::Protocol => "protocol",
        }
    }
}

/// Kinds of change: each falls under at most one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A declaration's content, or a limit's slack, that moved without its document's version moving forwards.
    Unversioned,
    /// A mechanism in the log that was not there before and is not declared.
    Undeclared,
    /// A check, or the verdict, that blocks and did not.
    Regression,
    /// A new version that does not say why, or does not follow from the one before.
    Unexplained,
    /// A limit, severity or gate that is softer, a check that is gone, a waiver that is new.
    Loosened,
    /// A mechanism that is new, gone or declared otherwise.
    Mechanism,
    /// Another way of reading answers or judging candidates.
    Evaluation,
    /// A cell that was in the log and is not.
    Vanished,
    /// A cell whose share of the audited rows moved.
    Moved,
    /// Audited rows that are fewer.
    Lost,
    /// A check that is worse, though it does not block.
    Worsened,
    /// Shown, and held against nothing.
    Noted,
}
