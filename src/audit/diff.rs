//! Two records compared, under the rules that the older one's policy gives.

use super::rules;
use crate::change::{self, Ruling};
use crate::checks::Status;
use crate::declare::{FailOn, Severity};
use crate::report::{self, DIFF_SCHEMA, Diff, DiffSide, Report};
use crate::verdict::{Verdict, exit_code, verdict_of};
use serde_json::Value;

/// What changed from one record to the other, and what the rules of change management say.
///
/// The rules are those of the older record's policy, so that a new policy cannot loosen what it is judged by; a rule that
/// the older record does not hold is that of the shipped `standard`.
pub fn diff(old: &Report, new: &Report) -> Diff {
    let changes = change::compare(&report::state(old), &report::state(new));
    let rules = rules::recorded(old);
    let limit = |key: &str| Some(rules.get(key).and_then(Value::as_f64).unwrap_or(0.0));
    // Every limit has a value: none is missing.
    let rulings = change::judge(&changes, true, limit).unwrap_or_default();
    let severity = rules.get("severity").and_then(Value::as_str).and_then(Severity::from_name);
    let severity = severity.unwrap_or(Severity::Block);
    let verdict = rulings.iter().map(|ruling| verdict_of(status(ruling), severity)).max().unwrap_or(Verdict::Pass);
    Diff {
        schema: DIFF_SCHEMA.to_owned(),
        old: DiffSide::of(old),
        new: DiffSide::of(new),
        verdict: super::record::verdict(verdict),
        exit_code: exit_code(verdict, FailOn::Block),
        rulings: rulings.iter().map(ruling).collect(),
        changes: changes.iter().map(report::change_record).collect(),
    }
}

fn status(ruling: &Ruling) -> Status {
    match (ruling.crossed(), ruling.rule.fails()) {
        (false, _) => Status::Pass,
        (true, true) => Status::Fail,
        (true, false) => Status::Warn,
    }
}

fn ruling(ruling: &Ruling) -> report::RulingRecord {
    let crossed = match status(ruling) {
        Status::Fail => Some("fail".to_owned()),
        Status::Warn => Some("warn".to_owned()),
        _ => None,
    };
    report::RulingRecord {
        key: ruling.rule.key.to_owned(),
        name: ruling.rule.name.to_owned(),
        value: ruling.value,
        limit: ruling.limit,
        crossed,
    }
}
