//! What an audit does otherwise than the protocol that was signed before it.

use super::{About, Change, Kind};
use chrono::NaiveDate;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A signed protocol: what was fixed before labels were seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Frozen {
    /// The name that reports show.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The fingerprint of the key that signed it, which whoever audits was given another way.
    pub key: String,
    /// When it was signed, RFC 3339 in UTC, by the signer's clock.
    pub time: String,
    /// The day of it, in UTC.
    pub date: NaiveDate,
    /// The regime's content, with defaults.
    pub regime: Value,
    /// The resolved policy's content.
    pub policy: Value,
    /// How the audit document evaluates.
    pub evaluation: Value,
}

/// Every departure of what is audited from what was frozen. The same content gives none, however it is written.
pub fn departures(
    frozen: &Frozen,
    regime: &Value,
    policy: &Value,
    evaluation: &Value,
    as_of: NaiveDate,
) -> Vec<Change> {
    let mut changes = Vec::new();
    if as_of < frozen.date {
        let item = "the audit's date lies before the day on which the protocol was signed".to_owned();
        let day = |date: NaiveDate| Some(Value::from(date.to_string()));
        changes.push(noted(About::Protocol, item, day(frozen.date), day(as_of)));
    }
    for (about, before, after) in [
        (About::Regime, &frozen.regime, regime),
        (About::Policy, &frozen.policy, policy),
        (About::Evaluation, &frozen.evaluation, evaluation),
    ] {
        changes.extend(
            differences(before, after).into_iter().map(|(item, before, after)| noted(about, item, before, after)),
        );
    }
    changes
}

fn noted(about: About, item: String, before: Option<Value>, after: Option<Value>) -> Change {
    Change { about, item, before, after, kind: Kind::Noted, size: 1.0 }
}

/// The places at which two contents differ, with the value of each; a place that one of them lacks has none there.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<(String, Option<Value>, Option<Value>)> {
    let (was, is) = (leaves(before), leaves(after));
    let places: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let value = |of: &BTreeMap<String, &Value>, place: &String| of.get(place).map(|value| (*value).clone());
    let mut found: Vec<_> = places
        .into_iter()
        .filter(|place| was.get(*place) != is.get(*place))
        .map(|place| (place.clone(), value(&was, place), value(&is, place)))
        .collect();
    // Nothing in place of something that is listed by its parts, or as one of its parts, is no departure of its own.
    let says = |value: &Option<Value>| value.as_ref().is_some_and(|value| !is_void(value));
    if found.iter().any(|(_, before, after)| says(before) || says(after)) {
        found.retain(|(_, before, after)| says(before) || says(after));
    }
    // Two places of one name could hide a difference: none is passed over.
    if found.is_empty() && before != after {
        found.push(("the content".to_owned(), None, None));
    }
    found
}

fn is_void(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// The values of a document by their place: `checks.cell-support.limits.min_rows`. A list of mappings is gone into, by what
/// names its items; any other list is one value.
fn leaves(value: &Value) -> BTreeMap<String, &Value> {
    let mut found = BTreeMap::new();
    walk(value, String::new(), &mut found);
    found
}

fn walk<'v>(value: &'v Value, place: String, found: &mut BTreeMap<String, &'v Value>) {
    let below = |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, item) in entries {
                walk(item, below(key), found);
            }
        }
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => {
            let names: Vec<Option<String>> = items.iter().map(name_of).collect();
            let distinct = names.iter().collect::<BTreeSet<_>>().len() == names.len();
            for (index, (item, name)) in items.iter().zip(names).enumerate() {
                let name = name.filter(|_| distinct).unwrap_or_else(|| (index + 1).to_string());
                walk(item, below(&name), found);
            }
        }
        value => {
            found.insert(place, value);
        }
    }
}

/// What names an item of a list: its id, its name, or its check and its cell.
fn name_of(item: &Value) -> Option<String> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
    let cell = || Some(item.get("cell").filter(|cell| !cell.is_null())?.to_string());
    let check = || Some([Some(text("check")?), cell()].into_iter().flatten().collect::<Vec<_>>().join(" "));
    text("id").or_else(|| text("name")).or_else(check).or_else(cell)
}
