//! The rules that stood before: what an audit is judged by that a new policy has no say in.

use super::Against;
use crate::declare::{self, Limit, Policy, Severity, shipped_policies};
use crate::report::Report;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// The check whose rules are the baseline's.
pub(super) const CHANGES: &str = "change-management";
/// The check whose rules are the protocol's.
const PROTOCOL: &str = "protocol-deviation";

/// The policy with the rules of change management that the baseline's record holds, and those of `protocol-deviation` that
/// the protocol froze: neither can be loosened by what it judges.
pub(super) fn standing<'p>(policy: &'p Policy, against: Against<'_>) -> Cow<'p, Policy> {
    let mut standing = Cow::Borrowed(policy);
    if let Some(baseline) = against.baseline {
        put(standing.to_mut(), CHANGES, recorded(&baseline.report));
    }
    if let Some(frozen) = against.protocol {
        put(standing.to_mut(), PROTOCOL, frozen_rules(&frozen.policy));
    }
    standing
}

/// The rules of change management: the record's, over those of `standard`.
pub(super) fn recorded(old: &Report) -> BTreeMap<String, Value> {
    let recorded = old.policy.limits.iter().filter(|limit| limit.check == CHANGES);
    let mut rules = shipped(CHANGES);
    rules.extend(recorded.map(|limit| (limit.key.clone(), limit.value.clone())));
    rules
}

/// The rules of `protocol-deviation` in a frozen policy, over those of `standard`.
fn frozen_rules(policy: &Value) -> BTreeMap<String, Value> {
    let check = policy.get("checks").and_then(|checks| checks.get(PROTOCOL));
    let mut rules = shipped(PROTOCOL);
    let severity = check.and_then(|check| check.get("severity"));
    rules.extend(severity.map(|severity| ("severity".to_owned(), severity.clone())));
    let limits = check.and_then(|check| check.get("limits")).and_then(Value::as_object);
    rules.extend(limits.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    rules
}

/// What `standard` says of a check.
fn shipped(check: &str) -> BTreeMap<String, Value> {
    let [(name, text), _] = shipped_policies();
    let standard = declare::parse_policy(name, text, Path::new("."));
    let limits = standard.iter().flat_map(Policy::limits).filter(|(of, ..)| *of == check);
    limits.map(|(_, key, value)| (key.to_owned(), value)).collect()
}

fn put(policy: &mut Policy, id: &str, rules: BTreeMap<String, Value>) {
    let Some(check) = policy.checks.get_mut(id) else { return };
    check.severity =
        rules.get("severity").and_then(Value::as_str).and_then(Severity::from_name).unwrap_or(Severity::Block);
    check.limits = rules.iter().filter_map(|(key, value)| Some((key.clone(), limit(key, value)?))).collect();
}

fn limit(key: &str, value: &Value) -> Option<Limit> {
    if ["severity", "when_not_logged"].contains(&key) {
        return None;
    }
    value.as_f64().map(Limit::Number).or_else(|| value.as_str().map(|word| Limit::Text(word.to_owned())))
}
