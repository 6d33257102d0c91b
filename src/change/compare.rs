//! What differs between two states. Nothing is judged here.

use super::protocol::differences;
use super::state::{Check, Direction, Results, State};
use super::{About, Change, Kind};
use crate::declare::Slice;
use semver::Version;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Every difference, in the order of [`About`]. Two equal states give none.
pub fn compare(old: &State, new: &State) -> Vec<Change> {
    let mut changes = Vec::new();
    if let (Some(old), Some(new)) = (&old.results, &new.results) {
        verdict(old, new, &mut changes);
    }
    regime(old, new, &mut changes);
    policy(old, new, &mut changes);
    waivers(old, new, &mut changes);
    mechanisms(old, new, &mut changes);
    rows(old, new, &mut changes);
    cells(old, new, &mut changes);
    numbers(About::Weights, &old.weights, &new.weights, &mut changes);
    inputs(old, new, &mut changes);
    if let (Some(old), Some(new)) = (&old.results, &new.results) {
        checks(old, new, &mut changes);
    }
    candidates(old, new, &mut changes);
    comparisons(old, new, &mut changes);
    evaluation(old, new, &mut changes);
    changes
}

fn change(about: About, item: impl Into<String>, before: Option<Value>, after: Option<Value>, kind: Kind) -> Change {
    Change { about, item: item.into(), before, after, kind, size: 1.0 }
}

/// The keys of two maps, each once, in order.
fn keys<'m, K: Ord, V>(old: &'m BTreeMap<K, V>, new: &'m BTreeMap<K, V>) -> BTreeSet<&'m K> {
    old.keys().chain(new.keys()).collect()
}

fn cell_name(cell: &Slice) -> String {
    cell.iter().map(|(covariate, level)| format!("{covariate}: {level}")).collect::<Vec<_>>().join(", ")
}

// ---- Versions ----

/// How a document's version moved. Versions that semver cannot order, or that differ in build metadata alone, did not move.
fn moved(old: &str, new: &str) -> Ordering {
    match (Version::parse(old), Version::parse(new)) {
        (Ok(old), Ok(new)) => new.cmp_precedence(&old),
        _ => Ordering::Equal,
    }
}

/// The kind of a change of a document's content: one that a new version announces, or one that nothing does.
fn announced(same_name: bool, version: Ordering, announced: Kind) -> Kind {
    if same_name && version == Ordering::Greater { announced } else { Kind::Unversioned }
}

// ---- Regime ----

fn regime(old: &State, new: &State, changes: &mut Vec<Change>) {
    if old.regime_fingerprint == new.regime_fingerprint {
        masses(old, new, Kind::Noted, changes);
        return;
    }
    let version = moved(&old.regime_version, &new.regime_version);
    let text = |about: &str, old: &str, new: &str, kind| {
        change(About::Regime, about, Some(json!(old)), Some(json!(new)), kind)
    };
    if old.regime != new.regime {
        // A baseline of another name says nothing about this one's history.
        changes.push(text("the name: another regime", &old.regime, &new.regime, Kind::Unversioned));
    }
    match version {
        Ordering::Less => {
            changes.push(text(
                "the version went backwards",
                &old.regime_version,
                &new.regime_version,
                Kind::Unversioned,
            ));
        }
        Ordering::Equal => {
            let item = format!("the content, under the same version {}", new.regime_version);
            changes.push(text(&item, &old.regime_fingerprint, &new.regime_fingerprint, Kind::Unversioned));
        }
        Ordering::Greater => {
            changes.push(text("the version", &old.regime_version, &new.regime_version, Kind::Noted));
            lineage(old, new, changes);
        }
    }
    let motivation = |kind| text("the motivation", &old.motivation, &new.motivation, kind);
    if old.motivation != new.motivation {
        changes.push(motivation(Kind::Noted));
    } else if version == Ordering::Greater {
        changes.push(motivation(Kind::Unexplained));
        if let Some(last) = changes.last_mut() {
            last.item = "a new version, and the motivation is still that of the old one".to_owned();
        }
    }
    for name in keys(&old.declared, &new.declared) {
        let (before, after) = (old.declared.get(name), new.declared.get(name));
        if before != after {
            changes.push(change(About::Regime, name.clone(), before.cloned(), after.cloned(), Kind::Noted));
        }
    }
    masses(old, new, Kind::Noted, changes);
}

/// The chain of `supersedes`.
fn lineage(old: &State, new: &State, changes: &mut Vec<Change>) {
    if new.supersedes.as_deref() != Some(&old.regime_version) {
        let said = new.supersedes.clone().map(Value::from);
        let item = "supersedes, which does not name the baseline's version";
        changes.push(change(About::Regime, item, Some(json!(old.regime_version)), said, Kind::Unexplained));
    }
}

fn masses(old: &State, new: &State, kind: Kind, changes: &mut Vec<Change>) {
    for cell in keys(&old.masses, &new.masses) {
        let (before, after) = (old.masses.get(cell), new.masses.get(cell));
        if differ(before.copied(), after.copied()) {
            let item = format!("target mass of {}", cell_name(cell));
            changes.push(change(About::Regime, item, before.map(|x| json!(x)), after.map(|x| json!(x)), kind));
        }
    }
}

fn differ(before: Option<f64>, after: Option<f64>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => (before - after).abs() > 0.0,
        (None, None) => false,
        _ => true,
    }
}

// ---- Policy ----

fn policy(old: &State, new: &State, changes: &mut Vec<Change>) {
    if old.fail_on == "diagnostic" && new.fail_on == "block" {
        changes.push(loosened(old, new, "gate.fail_on", Some(json!(old.fail_on)), Some(json!(new.fail_on))));
    } else if old.fail_on != new.fail_on {
        let (before, after) = (Some(json!(old.fail_on)), Some(json!(new.fail_on)));
        changes.push(change(About::Policy, "gate.fail_on", before, after, Kind::Noted));
    }
    if old.policy_fingerprint == new.policy_fingerprint {
        return;
    }
    for (name, before, after) in
        [("the name", &old.policy, &new.policy), ("the version", &old.policy_version, &new.policy_version)]
    {
        if before != after {
            changes.push(change(About::Policy, name, Some(json!(before)), Some(json!(after)), Kind::Noted));
        }
    }
    let (Some(before), Some(after)) = (&old.limits, &new.limits) else {
        // What cannot be compared does not pass for unchanged.
        let item = "the limits, which one of the records does not hold";
        let digest = |state: &State| Some(json!(state.policy_fingerprint));
        changes.push(loosened(old, new, item, digest(old), digest(new)));
        return;
    };
    for key in keys(before, after) {
        let (was, is) = (before.get(key), after.get(key));
        if was != is {
            let item = format!("checks.{}.{}", key.0, key.1);
            let (was, is) = (was.cloned(), is.cloned());
            let direction = old.directions.get(key).or_else(|| new.directions.get(key)).copied();
            let is_new_check = !before.contains_key(&(key.0.clone(), "severity".to_owned()));
            changes.push(if !is_new_check && is_looser(&key.1, direction, was.as_ref(), is.as_ref()) {
                loosened(old, new, &item, was, is)
            } else {
                change(About::Policy, item, was, is, Kind::Noted)
            });
        }
    }
}

fn loosened(old: &State, new: &State, item: &str, before: Option<Value>, after: Option<Value>) -> Change {
    let version = moved(&old.policy_version, &new.policy_version);
    change(About::Policy, item, before, after, announced(old.policy == new.policy, version, Kind::Loosened))
}

/// Whether a limit gives more room than it did. Where neither the record's measures nor the name say which side of a
/// limit is inside, any move counts as one: what cannot be told does not pass for a tightening.
fn is_looser(key: &str, direction: Option<Direction>, was: Option<&Value>, is: Option<&Value>) -> bool {
    let (Some(was), Some(is)) = (was, is) else {
        // A severity for what is not logged is a softer one, so that a new one loosens and a lost one tightens; any other
        // limit that is gone is a check, or a part of it, that is gone.
        return (key == "when_not_logged") == was.is_none();
    };
    match (was, is) {
        (Value::Number(was), Value::Number(is)) => {
            let (Some(was), Some(is)) = (was.as_f64(), is.as_f64()) else { return true };
            match direction.or_else(|| direction_of(key)) {
                Some(Direction::AtLeast) => is < was,
                Some(Direction::AtMost) => is > was,
                None => true,
            }
        }
        (Value::Array(was), Value::Array(is)) => was.iter().any(|item| !is.contains(item)),
        (Value::String(was), Value::String(is)) => match (severity(was), severity(is)) {
            (Some(was), Some(is)) => is < was,
            // `optional` asks for nothing.
            _ => was != "optional",
        },
        _ => true,
    }
}

/// Limits named `max_…` are upper ones. What `min_…` and `warn_…` are differs from check to check.
fn direction_of(key: &str) -> Option<Direction> {
    key.starts_with("max_").then_some(Direction::AtMost)
}

fn severity(word: &str) -> Option<usize> {
    ["note", "diagnostic", "block"].iter().position(|severity| *severity == word)
}

fn waivers(old: &State, new: &State, changes: &mut Vec<Change>) {
    for waiver in keys(&old.waivers, &new.waivers) {
        let (before, after) = (old.waivers.get(waiver), new.waivers.get(waiver));
        // Dates are `YYYY-MM-DD`, so that text order is theirs.
        let kind = match (before, after) {
            (None, Some(_)) => Kind::Loosened,
            (Some(before), Some(after)) if after > before => Kind::Loosened,
            (before, after) if before == after => continue,
            _ => Kind::Noted,
        };
        let text = |date: Option<&String>| date.map(|date| json!(format!("until {date}")));
        changes.push(change(About::Waivers, waiver.clone(), text(before), text(after), kind));
    }
}

// ---- Mechanisms ----

fn mechanisms(old: &State, new: &State, changes: &mut Vec<Change>) {
    for id in keys(&old.mechanisms, &new.mechanisms) {
        match (old.mechanisms.get(id), new.mechanisms.get(id)) {
            (Some(before), Some(after)) => {
                for name in keys(&before.declared, &after.declared) {
                    let (was, is) = (before.declared.get(name), after.declared.get(name));
                    if was != is {
                        let item = format!("{id}, {name} (declared)");
                        changes.push(change(About::Mechanisms, item, was.cloned(), is.cloned(), Kind::Mechanism));
                    }
                }
            }
            (before, _) => {
                let what = if before.is_some() { "no longer declared" } else { "newly declared" };
                changes.push(change(About::Mechanisms, format!("{id}, {what}"), None, None, Kind::Mechanism));
            }
        }
    }
    let none = BTreeMap::new();
    let (before, after) = (old.observed_mechanisms.as_ref(), new.observed_mechanisms.as_ref());
    if before.is_some() && after.is_none() {
        let item = "the log no longer names a mechanism";
        changes.push(change(About::Mechanisms, item, None, None, Kind::Mechanism));
    }
    // A record without a mechanism column does not tell which mechanisms are new.
    let Some(before) = before else { return };
    let after = after.unwrap_or(&none);
    for id in keys(before, after) {
        let (was, is) = (before.get(id).copied(), after.get(id).copied());
        if was == is {
            continue;
        }
        let kind = match (was, is) {
            (None, Some(_)) if !new.mechanisms.contains_key(id) => Kind::Undeclared,
            (Some(_), Some(_)) => Kind::Noted,
            _ => Kind::Mechanism,
        };
        let item = format!("rows of {id}");
        changes.push(change(About::Mechanisms, item, was.map(Value::from), is.map(Value::from), kind));
    }
}

// ---- Rows, cells, weights ----

fn rows(old: &State, new: &State, changes: &mut Vec<Change>) {
    let counted = |item: &str, before: u64, after: u64, kind| {
        change(About::Rows, item, Some(json!(before)), Some(json!(after)), kind)
    };
    if old.read != new.read {
        changes.push(counted("read", old.read, new.read, Kind::Noted));
    }
    if new.audited < old.audited {
        let lost = ratio(old.audited - new.audited, old.audited);
        changes.push(Change { size: lost, ..counted("audited", old.audited, new.audited, Kind::Lost) });
    } else if old.audited != new.audited {
        changes.push(counted("audited", old.audited, new.audited, Kind::Noted));
    }
    for reason in keys(&old.excluded, &new.excluded) {
        let of = |state: &State| state.excluded.get(reason).copied().unwrap_or(0);
        if of(old) != of(new) {
            changes.push(counted(&format!("excluded, {reason}"), of(old), of(new), Kind::Noted));
        }
    }
}

fn cells(old: &State, new: &State, changes: &mut Vec<Change>) {
    if old.covariates != new.covariates {
        let list = |state: &State| Some(json!(state.covariates));
        let item = "cells of other covariates, which cannot be compared";
        changes.push(change(About::Cells, item, list(old), list(new), Kind::Vanished));
        return;
    }
    for cell in keys(&old.cells, &new.cells) {
        let share = |state: &State| state.cells.get(cell).map(|rows| ratio(*rows, state.audited));
        let (before, after) = (share(old), share(new));
        let by = (after.unwrap_or(0.0) - before.unwrap_or(0.0)).abs();
        let (what, kind) = match (before, after) {
            (Some(_), None) => ("vanished", Kind::Vanished),
            (None, Some(_)) => ("appeared", Kind::Moved),
            _ => ("share of the log", Kind::Moved),
        };
        if by > 0.0 {
            let item = format!("{}, {what}", cell_name(cell));
            let number = |share: Option<f64>| share.map(|share| json!(share));
            changes.push(Change { size: by, ..change(About::Cells, item, number(before), number(after), kind) });
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn ratio(rows: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { rows as f64 / total as f64 }
}

fn numbers(about: About, old: &BTreeMap<String, f64>, new: &BTreeMap<String, f64>, changes: &mut Vec<Change>) {
    for name in keys(old, new) {
        let (before, after) = (old.get(name).copied(), new.get(name).copied());
        if differ(before, after) {
            let number = |value: Option<f64>| value.map(|value| json!(value));
            changes.push(change(about, name.clone(), number(before), number(after), Kind::Noted));
        }
    }
}

fn inputs(old: &State, new: &State, changes: &mut Vec<Change>) {
    for name in keys(&old.inputs, &new.inputs) {
        let (before, after) = (old.inputs.get(name), new.inputs.get(name));
        if before != after {
            let text = |digest: Option<&String>| digest.map(|digest| json!(digest));
            changes.push(change(About::Inputs, name.clone(), text(before), text(after), Kind::Noted));
        }
    }
}

// ---- Results ----

fn verdict(old: &Results, new: &Results, changes: &mut Vec<Change>) {
    if old.verdict != new.verdict {
        let kind = direction(&old.verdict, &new.verdict);
        let (before, after) = (Some(json!(old.verdict)), Some(json!(new.verdict)));
        changes.push(change(About::Verdict, "the verdict", before, after, kind));
    }
}

/// How a move of a verdict counts.
fn direction(old: &str, new: &str) -> Kind {
    let rank = |word: &str| ["pass", "diagnostic", "block"].iter().position(|verdict| *verdict == word);
    match (rank(old), rank(new)) {
        (Some(old), Some(new)) if new <= old => Kind::Noted,
        (_, Some(0 | 1)) => Kind::Worsened,
        _ => Kind::Regression,
    }
}

fn checks(old: &Results, new: &Results, changes: &mut Vec<Change>) {
    for id in keys(&old.checks, &new.checks) {
        let (before, after) = (old.checks.get(id), new.checks.get(id));
        if before == after {
            continue;
        }
        let kind = match (before, after) {
            (Some(before), Some(after)) => direction(&before.verdict, &after.verdict),
            // A check that is new was not failed before: it counts for what it says.
            (None, Some(after)) => direction("pass", &after.verdict),
            _ => Kind::Loosened,
        };
        let same = |of: fn(&Check) -> &str| before.map(of) == after.map(of);
        let shows = Shows { severity: !same(|check| &check.severity), name: !same(headline_name) };
        let text = |check: Option<&Check>| check.map(|check| json!(check_words(check, &shows)));
        changes.push(change(About::Checks, id.clone(), text(before), text(after), kind));
    }
}

/// What of a check is worth showing: what is not the same on both sides.
struct Shows {
    severity: bool,
    name: bool,
}

fn headline_name(check: &Check) -> &str {
    check.headline.as_ref().map_or("", |(name, _)| name)
}

fn check_words(check: &Check, shows: &Shows) -> String {
    let severity = if shows.severity { format!(" at {}", check.severity) } else { String::new() };
    let headline = match &check.headline {
        Some((name, Some(value))) if shows.name => format!(", {name} {}", rounded(*value)),
        Some((_, Some(value))) => format!(", {}", rounded(*value)),
        _ => String::new(),
    };
    format!("{}{severity}{headline}", check.status.replace('_', " "))
}

/// A number to four significant digits, for a sentence.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

fn candidates(old: &State, new: &State, changes: &mut Vec<Change>) {
    for name in keys(&old.candidates, &new.candidates) {
        match (old.candidates.get(name), new.candidates.get(name)) {
            (Some(before), Some(after)) => {
                let mut moved = Vec::new();
                numbers(About::Candidates, &before.estimates, &after.estimates, &mut moved);
                changes.extend(
                    moved.into_iter().map(|change| Change { item: format!("{name}, {}", change.item), ..change }),
                );
            }
            (before, _) => {
                let what = if before.is_some() { "no longer declared" } else { "newly declared" };
                changes.push(change(About::Candidates, format!("{name}, {what}"), None, None, Kind::Noted));
            }
        }
    }
}

/// What the audit document says of columns, labels, clusters, the reference and the candidates that both audits have: labels
/// that are read the other way round turn every result around under the same regime and policy.
fn evaluation(old: &State, new: &State, changes: &mut Vec<Change>) {
    if old.evaluation.is_null() != new.evaluation.is_null() {
        let item = "how answers are read and candidates judged, which one of the records does not hold";
        changes.push(change(About::Evaluation, item, None, None, Kind::Evaluation));
        return;
    }
    let [before, after] = [(old, new), (new, old)].map(|(own, other)| {
        let mut value = own.evaluation.clone();
        if let Some(Value::Object(candidates)) = value.get_mut("candidates") {
            candidates.retain(|name, _| other.candidates.contains_key(name));
        }
        value
    });
    for (item, before, after) in differences(&before, &after) {
        changes.push(change(About::Evaluation, item, before, after, Kind::Evaluation));
    }
}

/// A standing that is worse than it was counts where results are compared at all.
fn comparisons(old: &State, new: &State, changes: &mut Vec<Change>) {
    let results = old.results.is_some() && new.results.is_some();
    for name in keys(&old.comparisons, &new.comparisons) {
        let (Some(before), Some(after)) = (old.comparisons.get(name), new.comparisons.get(name)) else { continue };
        if before.standing != after.standing {
            let worse = results && after.standing < before.standing;
            let kind = if worse { Kind::Worsened } else { Kind::Noted };
            let (was, is) = (Some(json!(before.standing.name())), Some(json!(after.standing.name())));
            changes.push(change(About::Candidates, format!("{name}, under the target"), was, is, kind));
        }
        let mut moved = Vec::new();
        numbers(About::Candidates, &before.numbers, &after.numbers, &mut moved);
        changes.extend(moved.into_iter().map(|change| Change { item: format!("{name}, {}", change.item), ..change }));
    }
}
