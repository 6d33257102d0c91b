//! Was the audit made as the protocol says that was signed before labels were seen?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Status, Undetermined, at_most, list};
use crate::change::{Change, Frozen};
use crate::declare::Role;
use crate::logs::Month;
use chrono::Datelike;

pub(super) static CHECK: Check = Check {
    id: "protocol-deviation",
    title: "Departures from the signed protocol",
    source: "Lemma (2026), section 9, a declared target before the log; Nosek et al. (2018), PNAS 115:2600",
    page: include_str!("../../docs/checks/protocol-deviation.md"),
    needs: &[],
    run,
};

/// How many departures are named one by one; the record holds every one of them.
const NAMED: usize = 50;

const REMEDY: &str = "audit as the protocol says; where that cannot be, keep the departures in the report and say why they were made, or \
    freeze a new protocol and gather new labels";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let most = limits.number("max_departures")?;
    let earlier_limit = limits.number("warn_earlier_share")?;
    let Some((frozen, departures)) = evidence.protocol else { return without_protocol(limits) };
    let mut measures = vec![Measure::held(
        "departures from the protocol",
        count(departures.len()),
        at_most("max_departures", most),
        Crossed::Limit,
    )];
    let earlier = earlier_share(evidence, frozen);
    measures.push(match earlier {
        Some((share, rows)) => Measure::held(
            "share of rows logged in months before the protocol was signed",
            share,
            at_most("warn_earlier_share", earlier_limit),
            Crossed::Warning,
        )
        .of_rows(rows),
        None => Measure::shown("share of rows logged in months before the protocol was signed", None::<f64>),
    });
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    measures.extend(departures.iter().take(NAMED).map(|change| Measure::shown("departure", 1.0).about(&words(change))));
    Ok(Finding::from_measures(measures, message(frozen, departures, earlier, earlier_limit), REMEDY))
}

/// Nothing was frozen: that is an answer unless the policy demands a protocol.
fn without_protocol(limits: &Limits) -> Result<Finding, Undetermined> {
    if limits.text("protocol")? == "optional" {
        return Ok(Finding {
            status: Status::NotApplicable,
            message: "no protocol was given to be held against".to_owned(),
            measures: Vec::new(),
            remedy: None,
            not_logged: false,
        });
    }
    Err(Undetermined {
        message: "the policy demands a protocol that was signed before labels were seen, and none was given".to_owned(),
        remedy: "freeze one with `counterweight regime freeze`, and give it with --protocol and the key that signed it"
            .to_owned(),
        not_logged: false,
        measures: Vec::new(),
    })
}

fn message(frozen: &Frozen, departures: &[Change], earlier: Option<(f64, u64)>, earlier_limit: f64) -> String {
    let signed = format!("the protocol signed on {} by the key {}", frozen.time, short(&frozen.key));
    if !departures.is_empty() {
        let items: Vec<String> = departures.iter().map(words).collect();
        return format!("{} from {signed} ({})", amount(departures.len()), list(&items));
    }
    match earlier {
        Some((share, _)) if share > earlier_limit => {
            format!("{signed} was followed, and rows were logged in months before it was signed")
        }
        Some(_) => format!("{signed} was followed, and no row was logged in a month before it"),
        None => format!("{signed} was followed; the log does not say when its rows were logged"),
    }
}

fn amount(departures: usize) -> String {
    if departures == 1 { "1 departure".to_owned() } else { format!("{departures} departures") }
}

fn words(change: &Change) -> String {
    format!("{}: {}", change.about.name(), change.item)
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..16).unwrap_or(fingerprint)
}

/// Rows of months that had ended when the protocol was signed, among those whose month is known; `None` where the log has no
/// timestamps, or none is counted by month.
fn earlier_share(evidence: &Evidence, frozen: &Frozen) -> Option<(f64, u64)> {
    if !evidence.mapped.contains_key(&Role::Timestamp) {
        return None;
    }
    let logged = evidence.statistics.logged.as_ref().filter(|logged| !logged.too_many)?;
    let signed = Month::new(i64::from(frozen.date.year()), i64::from(frozen.date.month()))?;
    let months = || logged.mechanisms.values().flat_map(|floor| floor.months.iter());
    let rows: u64 = months().map(|(_, (rows, _))| rows).sum();
    let before: u64 = months().filter(|(month, _)| **month < signed).map(|(_, (rows, _))| rows).sum();
    (rows > 0).then(|| (ratio(before, rows), rows))
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[expect(clippy::cast_precision_loss, reason = "a number of departures")]
fn count(departures: usize) -> f64 {
    departures as f64
}
